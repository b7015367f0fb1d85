"""A PyTorch classifier served over HTTP."""

from flask import Flask

# {% if "jwt" not in components %}
from app.serving.fast_path import add_fast_path
# {% endif %}
from app.serving.models import init_model
# {% if "celery" in components %}
from app.torch import jobs, routes
# {% else %}
from app.torch import routes
# {% endif %}
from app.torch.commands import train_torch
# {% if "jwt" not in components %}
from app.torch.schemas import TorchIn
# {% endif %}
from app.torch.service import TorchLoader
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    app.register_blueprint(routes.blueprint)
    app.cli.add_command(train_torch)
    init_model(app, TorchLoader(app.config))
    # {% if "jwt" not in components %}

    def answer_json(body: bytes) -> bytes:
        rows = TorchIn.model_validate_json(body).array()
        return routes.answer(app.extensions["torch"].get(), rows)

    add_fast_path(app, "torch.predict", answer_json)
    # {% endif %}
