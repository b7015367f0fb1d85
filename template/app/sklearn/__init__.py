"""A scikit-learn classifier served over HTTP."""

from flask import Flask

# {% if "jwt" not in components %}
from app.serving.fast_path import add_fast_path
# {% endif %}
from app.serving.models import init_model
# {% if "celery" in components %}
from app.sklearn import jobs
# {% endif %}
from app.sklearn.commands import train_sklearn
# {% if "jwt" not in components %}
from app.sklearn.routes import answer, blueprint
from app.sklearn.schemas import SklearnIn
# {% else %}
from app.sklearn.routes import blueprint
# {% endif %}
from app.sklearn.service import SklearnLoader
# {% if "celery" in components %}

__all__ = ["init_app", "jobs"]
# {% endif %}


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    app.cli.add_command(train_sklearn)
    init_model(app, SklearnLoader(app.config))
    # {% if "jwt" not in components %}

    def answer_json(body: bytes) -> bytes:
        given = SklearnIn.model_validate_json(body)
        return answer(app.extensions["sklearn"].get(), given)

    add_fast_path(app, "sklearn.predict", answer_json)
    # {% endif %}
