"""Accounts and tokens. Every route under ``/api/v1`` asks for an access token, unless its view
is marked otherwise, as ``app.jwt.guard`` says.
"""

from flask import Flask

from app.jwt import guard, limits, passwords, tokens
from app.jwt.commands import create_account, purge_tokens
from app.jwt.routes import blueprint


def init_app(app: Flask) -> None:
    passwords.init_app(app)
    tokens.init_app(app)
    guard.init_app(app)
    limits.init_app(app)
    app.register_blueprint(blueprint)
    app.cli.add_command(create_account)
    app.cli.add_command(purge_tokens)
