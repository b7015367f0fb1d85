"""The database: SQLAlchemy's session and models, and Alembic's migrations."""

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
# {% if "crud" in components or "pagination" in components %}
from typing import Any, ClassVar
# {% else %}
from typing import Any
# {% endif %}

import sqlalchemy as sa
import structlog
from click import Command, Context
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator
# {% if "crud" in components or ("jwt" in components and "pagination" in components) %}
from werkzeug.exceptions import Conflict, NotFound
# {% elif "jwt" in components %}
from werkzeug.exceptions import Conflict
# {% else %}
from werkzeug.exceptions import NotFound
# {% endif %}
# {% if "crud" in components or "pagination" in components %}
from werkzeug.routing import BaseConverter
# {% endif %}

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.config import EMBEDDED_DATABASE, ConfigError
from app.errors import unavailable

log = structlog.stdlib.get_logger(__name__)


class Base(DeclarativeBase):
    """What every model inherits. Named constraints are what migrations can change later."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC on every database; SQLite alone would forget the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


MAX_ID = 2**31 - 1  # of an Integer on PostgreSQL; a BigInteger reaches to 2**63 - 1
#: For ``__table_args__``: SQLite would give a deleted row's id to the next one.
NO_ID_TWICE = {"sqlite_autoincrement": True}

# What was committed is still there to be answered with, even if somebody deletes it meanwhile.
db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})


def now() -> datetime:
    return datetime.now(UTC)


# {% if "crud" in components or "pagination" in components %}
class IdConverter(BaseConverter):
    """``<id:name>``: a primary key. What no row can have is a 404, without asking the database."""

    regex = "[1-9][0-9]{0,9}"
    schema: ClassVar = {"type": "integer", "minimum": 1, "maximum": MAX_ID}

    def to_python(self, value: str) -> int:
        if int(value) > MAX_ID:
            raise NotFound  # a ValidationError would be a 405: other methods have this path
        return int(value)


# {% endif %}
# {% if "crud" in components or "jwt" in components %}
def commit_or_conflict(detail: str) -> None:
    """Commit the session.

    Raises:
        werkzeug.exceptions.Conflict: a constraint, such as that of a unique column, refuses it.
    """
    try:
        db.session.commit()
    except sa.exc.IntegrityError:
        db.session.rollback()
        raise Conflict(detail) from None


# {% endif %}
def init_app(app: Flask) -> None:
    # {% if "crud" in components or "pagination" in components %}
    app.url_map.converters["id"] = IdConverter
    # {% endif %}
    url = sa.make_url(app.config["DATABASE_URL"])
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url.get_backend_name())
    try:
        db.init_app(app)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError):
        raise ConfigError(f"DATABASE_URL: no driver {url.drivername} is installed.") from None
    app.cli.add_command(MigrationCommands(app))
    for error in (
        sa.exc.OperationalError,
        sa.exc.ProgrammingError,
        sa.exc.InterfaceError,
        sa.exc.TimeoutError,
    ):
        app.register_error_handler(error, handle_database_error)
    # {% if "probes" in components %}
    probes.add_check(app, "database", lambda: db.session.execute(sa.select(1)))
    # {% endif %}
    if app.config["APP_ENV"] == "dev" and app.config["DATABASE_URL"] == EMBEDDED_DATABASE:
        create_embedded(app)


class MigrationCommands(Command):
    """``flask db``. Alembic is imported where it is called: no web process needs it."""

    def __init__(self, app: Flask) -> None:
        super().__init__("db", help="Perform database migrations.")
        self.app = app

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        from app.migrations import bind

        context: Context = bind(self.app, db).make_context(info_name, args, parent, **extra)
        return context


def engine_options(backend: str) -> dict[str, Any]:
    options: dict[str, Any] = {"hide_parameters": True}  # in logs: they may be secrets
    if backend == "sqlite":
        return options | {"connect_args": {"timeout": 15}}  # seconds to wait for another writer
    arguments = {"connect_timeout": 5}  # seconds
    if backend == "postgresql":
        # A server that cannot be reached any more is given up after half a minute.
        keepalives = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
        arguments |= {**keepalives, "tcp_user_timeout": 30_000}  # the last one in ms
    return options | {"pool_pre_ping": True, "connect_args": arguments}


@sa.event.listens_for(Engine, "do_connect")
def connect(dialect: Dialect, record: object, args: list[Any], options: dict[str, Any]) -> Any:
    """With psycopg, a connection that gives up a server that hangs; else what is usual."""
    if dialect.driver != "psycopg":
        return None
    from app.postgres import Connection

    return Connection.connect(*args, **options)


@sa.event.listens_for(Engine, "connect")
def set_sqlite_pragmas(connection: Any, record: object) -> None:
    """Readers that do not wait for the writer, and foreign keys that are enforced."""
    if type(connection).__module__.startswith("sqlite3"):
        with suppress(sqlite3.OperationalError):  # another process switches the file just now
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")


def handle_database_error(error: Exception) -> Response:
    """503 for what passes by itself or by a migration; a mistake in a statement stays an error."""
    if is_not_migrated(error):
        log.error("a table is missing: run flask --app wsgi db upgrade", exc_info=error)
        return unavailable("The database is not ready. Try again soon.", 30)
    if isinstance(error, sa.exc.ProgrammingError):
        raise error
    log.error("the database does not answer", exc_info=error)
    return unavailable("The database does not answer. Try again soon.")


def is_not_migrated(error: Exception) -> bool:
    """Whether a table is missing; PostgreSQL's code for that is 42P01."""
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", "") == "42P01" or "no such table" in str(original)


def create_embedded(app: Flask) -> None:
    """Migrate the SQLite database of a fresh checkout, so that the service works at once.

    Only a new database is touched: from then on ``flask db upgrade`` is yours to run.
    """
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one process migrates, others wait
        if not sa.inspect(connection).has_table("alembic_version"):
            from app.migrations import bind, upgrade

            bind(app, db)
            upgrade(connection)
        connection.commit()
