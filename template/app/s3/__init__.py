"""Files in an S3 bucket, or in a folder while no bucket is configured."""

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.s3 import local, routes
from app.s3.bucket import BucketStorage


def init_app(app: Flask) -> None:
    if app.config["S3_BUCKET_NAME"]:
        bucket = BucketStorage(app, "files")
        app.extensions["files"] = bucket
        # {% if "probes" in components %}
        probes.add_check(app, "s3", bucket.check)
        # {% endif %}
    else:
        app.extensions["files"] = local.SignedStorage(app.config["FILE_DIR"])
        app.register_blueprint(local.blueprint)
    app.register_blueprint(routes.blueprint)
