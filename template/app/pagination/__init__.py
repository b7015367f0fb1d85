"""A feed of posts. Its ``cursor`` module paginates any list."""

from flask import Flask

from app.pagination.routes import blueprint


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
