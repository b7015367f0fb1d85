"""Uploads of files whose content is checked."""

from flask import Flask

# {% if "s3" in components %}
from app.s3.bucket import BucketStorage
# {% endif %}
from app.storage import LocalStorage
from app.uploads.routes import blueprint


def init_app(app: Flask) -> None:
    app.extensions["uploads"] = LocalStorage(app.config["UPLOAD_DIR"])
    # {% if "s3" in components %}
    if app.config["S3_BUCKET_NAME"]:
        app.extensions["uploads"] = BucketStorage(app, "uploads")
    # {% endif %}
    app.register_blueprint(blueprint)
