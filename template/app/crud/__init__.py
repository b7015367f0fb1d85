"""Create, read, update and delete users."""

from flask import Flask

from app.crud.commands import create_user
from app.crud.routes import blueprint


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    app.cli.add_command(create_user)
