"""A feed of posts, paginated with signed cursors; ``app.pagination.cursor`` serves any list."""

from flask import Flask

from app.pagination.routes import blueprint


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
