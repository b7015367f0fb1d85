"""How Alembic reaches the database: through the application, or a connection that it is given."""

from typing import Literal

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.database import UtcDateTime

extension = current_app.extensions["migrate"]


def render_item(kind: str, item: object, _: object) -> str | Literal[False]:
    """Revisions name no type of the application: that may change, and they must not."""
    is_time = kind == "type" and isinstance(item, UtcDateTime)
    return "sa.DateTime(timezone=True)" if is_time else False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=extension.db.metadata,
        render_item=render_item,
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
    try:
        own = extension.db.engine.connect()
    except OperationalError:
        raise CommandError("The database does not answer: is DATABASE_URL right?") from None
    with own:
        migrate(own)
