"""A scikit-learn classifier behind HTTP. ``import sklearn`` is the library everywhere, here too."""

from functools import partial

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.serving.lane import open_lane
# {% if "celery" in components %}
from app.sklearn import jobs
# {% endif %}
from app.sklearn.commands import train_sklearn
from app.sklearn.routes import answer, blueprint
from app.sklearn.service import SklearnModels
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    models = app.extensions["sklearn"] = SklearnModels(app.config)
    app.register_blueprint(blueprint)
    open_lane(app, "sklearn.predict", partial(answer, models))
    app.cli.add_command(train_sklearn)
    if not app.config["MODELS_AT_START"]:
        return
    # {% if "probes" in components %}
    probes.add_check(app, "sklearn", models.get)
    # {% endif %}
    if app.config["APP_ENV"] != "test":  # tests that need no model wait for none
        models.start()
