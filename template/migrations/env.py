"""How Alembic reaches the database: through the application, or a connection that it is given."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection

extension = current_app.extensions["migrate"]


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=extension.db.metadata,
        **extension.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    context.configure(
        url=extension.db.engine.url.render_as_string(hide_password=False),
        target_metadata=extension.db.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()
elif given := context.config.attributes.get("connection"):
    migrate(given)
else:
    with extension.db.engine.connect() as own:
        migrate(own)
