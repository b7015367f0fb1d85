"""Files in an S3 bucket, or in a folder while no bucket is configured."""

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.s3.bucket import BucketStorage
from app.s3.local import SignedStorage
from app.s3.routes import blueprint, signed


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    if app.config["S3_BUCKET_NAME"]:
        app.extensions["files"] = BucketStorage(app, "files")
        # {% if "probes" in components %}
        probes.add_check(app, "s3", app.extensions["files"].check)
        # {% endif %}
    else:
        app.extensions["files"] = SignedStorage(app.config["FILE_DIR"])
        app.register_blueprint(signed)
