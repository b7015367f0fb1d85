"""Face analysis and verification with DeepFace. ``import deepface`` is the library here, too."""

import click
from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
# {% if "celery" in components %}
from app.deepface import jobs
# {% endif %}
from app.deepface.routes import blueprint
from app.deepface.service import FaceModels
from app.deepface.weights import fetch_weights
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    faces = app.extensions["deepface"] = FaceModels(app.config)
    app.register_blueprint(blueprint)
    app.cli.add_command(fetch_weights)
    # {% if "probes" in components %}
    probes.add_check(app, "deepface", faces.check)
    # {% endif %}
    command = click.get_current_context(silent=True)
    serves = command is None or command.info_name == "run"
    if serves and app.config["APP_ENV"] != "test":
        faces.warm()
