"""A scikit-learn classifier served over HTTP."""

from flask import Flask

# {% if "jwt" not in components %}
from app.serving.fast_path import add_fast_path
# {% endif %}
from app.serving.models import init_model
# {% if "celery" in components %}
from app.sklearn import jobs, routes
# {% else %}
from app.sklearn import routes
# {% endif %}
from app.sklearn.commands import train_sklearn
# {% if "jwt" not in components %}
from app.sklearn.schemas import SklearnIn
# {% endif %}
from app.sklearn.service import SklearnLoader
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    app.register_blueprint(routes.blueprint)
    app.cli.add_command(train_sklearn)
    init_model(app, SklearnLoader(app.config))
    # {% if "jwt" not in components %}

    def answer_json(body: bytes) -> bytes:
        return routes.answer(app.extensions["sklearn"].get(), SklearnIn.model_validate_json(body))

    add_fast_path(app, "sklearn.predict", answer_json)
    # {% endif %}
