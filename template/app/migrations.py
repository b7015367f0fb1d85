"""Alembic, bound to the application: ``flask db``, and the first migration of a fresh checkout.

Every component brings a line of revisions of its own, so that one can be added to a service that
has data. ``upgrade`` means all of them; a migration of your own builds on all that there are.
"""

from typing import Any

from alembic import command
from flask import Flask
from flask_migrate import Migrate
from flask_migrate.cli import db as db_group
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection

from app.config import ROOT

DEFAULTS = {
    "upgrade": {"revision": "heads"},
    "migrate": {"head": "heads"},
    "revision": {"head": "heads"},
}

migrate = Migrate(directory=str(ROOT / "migrations"))


def bind(app: Flask, db: SQLAlchemy) -> Any:
    """Bind Alembic to the application; the commands of ``flask db``."""
    migrate.init_app(app, db)
    db_group.context_settings["default_map"] = DEFAULTS
    return db_group


def upgrade(connection: Connection) -> None:
    """Run every migration over a connection that is open already."""
    config = migrate.get_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")
