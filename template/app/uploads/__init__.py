"""Files that clients send, checked by their content."""

from flask import Flask

from app.uploads.routes import blueprint
from app.uploads.storage import LocalStorage


def init_app(app: Flask) -> None:
    app.extensions["uploads"] = LocalStorage(app.config["UPLOAD_DIR"])
    app.register_blueprint(blueprint)
