"""How Alembic runs: online over the application's engine, or offline to print SQL."""

from typing import Any, Literal

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError

from app.database import UtcDateTime, db

extension = current_app.extensions["migrate"]


def render_item(kind: str, item: object, autogen: Any) -> str | Literal[False]:
    """How revisions write types that Alembic gets wrong."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"  # they refer to no code of the application
    if kind == "type" and isinstance(item, JSONB):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    return False


def skip_empty_revision(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Write no file for ``flask db migrate`` if no model has changed."""
    autogenerate = getattr(context.config.cmd_opts, "autogenerate", False)
    if autogenerate and directives[0].upgrade_ops.is_empty():
        directives.clear()
        context.config.print_stdout("No model has changed.")


def run() -> None:
    with context.begin_transaction():
        if context.get_context().dialect.name == "postgresql":
            context.execute("SET statement_timeout = 0")  # the one of requests is too short
        context.run_migrations()


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_item=render_item,
        process_revision_directives=skip_empty_revision,
        **extension.configure_args,
    )
    run()


if context.is_offline_mode():
    context.configure(
        url=db.engine.url.render_as_string(hide_password=False),
        target_metadata=db.metadata,
        literal_binds=True,
    )
    run()
elif shared := context.config.attributes.get("connection"):
    migrate(shared)
else:
    try:
        own = db.engine.connect()
    except OperationalError:
        raise CommandError("The database is unavailable; check DATABASE_URL.") from None
    with own:
        migrate(own)
