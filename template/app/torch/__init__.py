"""A PyTorch classifier behind HTTP. ``import torch`` is the library everywhere, here too."""

from functools import partial

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.serving.lane import open_lane
# {% if "celery" in components %}
from app.torch import jobs
# {% endif %}
from app.torch.commands import train_torch
from app.torch.routes import answer, blueprint
from app.torch.service import TorchModels
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    models = app.extensions["torch"] = TorchModels(app.config)
    app.register_blueprint(blueprint)
    open_lane(app, "torch.predict", partial(answer, models))
    app.cli.add_command(train_torch)
    if not app.config["MODELS_AT_START"]:
        return
    # {% if "probes" in components %}
    probes.add_check(app, "torch", models.get)
    # {% endif %}
    if app.config["APP_ENV"] != "test":  # tests that need no model wait for none
        models.start()
