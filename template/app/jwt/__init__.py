"""Registration, login and tokens. Routes under ``/api/v1`` require an access token unless
``@endpoint`` says otherwise.
"""

from flask import Flask

from app.jwt import commands, guard, limits, tokens
from app.jwt.routes import blueprint


def init_app(app: Flask) -> None:
    tokens.init_app(app)
    guard.init_app(app)
    limits.init_app(app)
    app.register_blueprint(blueprint)
    commands.init_app(app)
