"""Database migrations: ``flask db``.

Each component has its own branch of revisions, so that you can add one to a service with data.
Commands refer to all branches unless you name a revision.
"""

import sqlalchemy as sa
from alembic import command
from flask import Flask
from flask_migrate import Migrate, cli
from flask_sqlalchemy import SQLAlchemy

from app.config import ROOT

DEFAULTS = {
    "upgrade": {"revision": "heads"},
    "migrate": {"head": "heads"},
    "revision": {"head": "heads"},
}

migrate = Migrate(directory=str(ROOT / "migrations"))


def init_app(app: Flask, db: SQLAlchemy) -> None:
    migrate.init_app(app, db)
    cli.db.context_settings["default_map"] = DEFAULTS
    app.cli.add_command(cli.db)


def create_database(engine: sa.Engine) -> None:
    """Migrate a new SQLite database, so that a fresh checkout works at once.

    Existing databases are left alone; run ``flask db upgrade`` for those.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # other processes wait meanwhile
        if not sa.inspect(connection).has_table("alembic_version"):
            config = migrate.get_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "heads")
        connection.commit()
