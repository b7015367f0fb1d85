"""Give posts an owner. Posts from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "pagination_0002"
down_revision = "pagination_0001"
branch_labels = None
depends_on = "users_0001"


def upgrade() -> None:
    with op.batch_alter_table("posts", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("owner_id", sa.Integer()))
        batch.create_foreign_key(
            "fk_posts_owner_id_users", "users", ["owner_id"], ["id"], ondelete="SET NULL"
        )
        batch.create_index("ix_posts_owner_id", ["owner_id"])


def downgrade() -> None:
    with op.batch_alter_table("posts", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_index("ix_posts_owner_id")
        batch.drop_constraint("fk_posts_owner_id_users", type_="foreignkey")
        batch.drop_column("owner_id")
