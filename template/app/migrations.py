"""Alembic, bound to the application: ``flask db``, and the first migration of a fresh checkout.

Every component brings a line of revisions of its own, so that one can be added to a service that
has data. ``upgrade`` means all of them; a migration of your own builds on all that there are.
"""

from typing import Any

import sqlalchemy as sa
from alembic import command
from flask import Flask
from flask_migrate import Migrate
from flask_migrate.cli import db as db_group
from flask_sqlalchemy import SQLAlchemy

from app.config import ROOT

DEFAULTS = {
    "upgrade": {"revision": "heads"},
    "migrate": {"head": "heads"},
    "revision": {"head": "heads"},
}

COPY = "_alembic_tmp_"  # to alter a table on SQLite, Alembic makes a new one and moves the rows

migrate = Migrate(directory=str(ROOT / "migrations"))


def bind(app: Flask, db: SQLAlchemy) -> Any:
    """Bind Alembic to the application; the commands of ``flask db``."""
    migrate.init_app(app, db)
    db_group.context_settings["default_map"] = DEFAULTS
    return db_group


def upgrade(connection: sa.Connection) -> None:
    """Run every migration over a connection that is open already."""
    config = migrate.get_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")


@sa.event.listens_for(sa.Table, "before_create")
def keep_autoincrement(table: sa.Table, *_: object, **__: object) -> None:
    """What ``app.database.NO_ID_TWICE`` says of a table holds of its copy, too."""
    original = migrate.db.metadata.tables.get(table.name.removeprefix(COPY))
    if table.name.startswith(COPY) and original is not None:
        option = original.dialect_options["sqlite"]["autoincrement"]
        table.dialect_options["sqlite"]["autoincrement"] = option


@sa.event.listens_for(sa.Table, "after_create")
def keep_last_id(table: sa.Table, connection: sa.Connection | None, **_: object) -> None:
    """The copy goes on from the last id, even if its row is deleted."""
    copied = table.name.startswith(COPY) and table.dialect_options["sqlite"]["autoincrement"]
    if copied and connection is not None and connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO sqlite_sequence (name, seq)"
            " SELECT ?, seq FROM sqlite_sequence WHERE name = ?",
            (table.name, table.name.removeprefix(COPY)),
        )
