"""A PyTorch classifier behind HTTP. ``import torch`` is the library everywhere, here too."""

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
# {% if "socketio" in components %}
from app.torch import live
# {% endif %}
from app.torch.commands import train_torch
from app.torch.routes import blueprint
from app.torch.service import TorchModels
# {% if "socketio" in components %}

__all__ = ["init_app", "live"]
# {% endif %}


def init_app(app: Flask) -> None:
    models = app.extensions["torch"] = TorchModels(app.config)
    app.register_blueprint(blueprint)
    app.cli.add_command(train_torch)
    # {% if "probes" in components %}
    probes.add_check(app, "torch", models.get)
    # {% endif %}
    if app.config["APP_ENV"] != "test":  # tests that need no model wait for none
        models.start()
