"""Give users a role and credentials, and create the table of revoked tokens."""

import sqlalchemy as sa
from alembic import op

revision = "jwt_0001"
down_revision = None
branch_labels = ("jwt",)
depends_on = "users_0001"


def upgrade() -> None:
    role = sa.Column("role", sa.String(length=20), server_default="user", nullable=False)
    op.add_column("users", role)
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_credentials_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_credentials"),
    )
    op.create_table(
        "revocations",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_revocations"),
    )
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])


def downgrade() -> None:
    op.drop_table("revocations")
    op.drop_table("credentials")
    op.drop_column("users", "role")
