"""The application factory: read it from top to bottom to see what the service is made of."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from app import (
    # {% set spine = ["errors", "index", "logs", "metrics", "middleware", "openapi", "security"] %}
    # {% for name in (spine + components + (["database"] if database else [])) | sort %}
    # {% filter replace("component", name) %}
    component,
    # {% endfilter %}
    # {% endfor %}
)
from app.config import ROOT, load_settings


def create_app(config: str | Mapping[str, Any] | None = None) -> Flask:
    """Build the service.

    Args:
        config: a profile (``dev``, ``test`` or ``prod``), or settings that win over the
            environment, by their upper-case names; ``APP_ENV`` among them picks the profile.

    Raises:
        app.config.ConfigError: a setting is missing or wrong; the message names it.
    """
    app = Flask(__name__, instance_path=str(ROOT / "instance"), static_folder=None)
    app.config.from_mapping(load_settings(config))

    logs.init_app(app)
    errors.init_app(app)
    metrics.init_app(app)
    middleware.init_app(app)
    security.init_app(app)
    # {% if database %}
    database.init_app(app)
    # {% endif %}

    index.init_app(app)
    # {% for name in components | sort %}
    # {% filter replace("component", name) %}
    component.init_app(app)
    # {% endfilter %}
    # {% endfor %}
    openapi.init_app(app)
    security.trust_proxies(app)
    return app
