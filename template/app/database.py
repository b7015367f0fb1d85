"""The database: SQLAlchemy's session, and what all models share."""

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
# {% if "crud" in components or "pagination" in components %}
from typing import Annotated, Any
# {% else %}
from typing import Any
# {% endif %}

import sqlalchemy as sa
import structlog
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
# {% if "crud" in components or "pagination" in components %}
from pydantic import Field
# {% endif %}
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator
# {% if "crud" in components or ("jwt" in components and "pagination" in components) %}
from werkzeug.exceptions import Conflict, NotFound
# {% elif "jwt" in components %}
from werkzeug.exceptions import Conflict
# {% elif "pagination" in components %}
from werkzeug.exceptions import NotFound
# {% endif %}
# {% if "crud" in components or "pagination" in components %}
from werkzeug.routing import BaseConverter
# {% endif %}

# {% if "probes" in components %}
from app import migrations, probes
# {% else %}
from app import migrations
# {% endif %}
from app.config import EMBEDDED_DATABASE, ConfigError
from app.errors import unavailable

log = structlog.stdlib.get_logger(__name__)


class Base(DeclarativeBase):
    """The base of all models. Named constraints can be changed by later migrations."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware date-time, in UTC on every database. Naive ones raise ``ValueError``."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("the date-time has no time zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        # SQLite does not store the zone.
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


MAX_ID = 2**31 - 1  # of an Integer on PostgreSQL; a BigInteger reaches 2**63 - 1

# Committed objects remain readable, even if another request deletes their rows.
db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})


def now() -> datetime:
    return datetime.now(UTC)


# {% if "crud" in components or "pagination" in components %}
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class IdConverter(BaseConverter):
    """``<id:name>``: a primary key. Numbers out of range are a 404 without a query."""

    regex = "[1-9][0-9]{0,9}"

    def to_python(self, value: str) -> int:
        if int(value) > MAX_ID:
            raise NotFound  # a ValidationError would be a 405: other methods have this path
        return int(value)


# {% endif %}
# {% if "crud" in components or "jwt" in components %}
def commit_or_conflict(detail: str) -> None:
    """Commit the session.

    Raises:
        werkzeug.exceptions.Conflict: a constraint is violated, such as that of a unique column.
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
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(
        url.get_backend_name(), app.config["DATABASE_TIMEOUT"]
    )
    try:
        db.init_app(app)
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError):
        raise ConfigError(f"DATABASE_URL: no driver {url.drivername} is installed.") from None
    migrations.init_app(app, db)
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
        with app.app_context():
            migrations.create_database(db.engine)


def engine_options(backend: str, timeout: float) -> dict[str, Any]:
    """Options of the engine; a statement may take ``timeout`` seconds on PostgreSQL."""
    options: dict[str, Any] = {"hide_parameters": True}  # in logs: they may be secrets
    if backend == "sqlite":
        return options | {"connect_args": {"timeout": 15}}  # seconds to wait for another writer
    arguments: dict[str, Any] = {"connect_timeout": 5}  # seconds
    if backend == "postgresql":
        milliseconds = int(timeout * 1000)
        arguments |= {
            "options": f"-c statement_timeout={milliseconds}",
            "tcp_user_timeout": milliseconds,  # until a server that is cut off is given up
        }
    return options | {"pool_pre_ping": True, "connect_args": arguments}


@sa.event.listens_for(Engine, "connect")
def set_sqlite_pragmas(connection: Any, record: object) -> None:
    """Let readers work beside a writer, and enforce foreign keys."""
    if type(connection).__module__.startswith("sqlite3"):
        with suppress(sqlite3.OperationalError):  # another process is switching the file
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")


def handle_database_error(error: Exception) -> Response:
    """503 if the database is unavailable or not migrated; other errors are ours."""
    undefined_table = getattr(getattr(error, "orig", None), "sqlstate", "") == "42P01"
    if undefined_table or "no such table" in str(error):
        log.error("a table is missing: run flask --app wsgi db upgrade", exc_info=error)
        return unavailable("The database is not ready. Try again soon.", 30)
    if isinstance(error, sa.exc.ProgrammingError):
        raise error
    log.error("the database is unavailable", exc_info=error)
    return unavailable("The database is unavailable. Try again soon.")
