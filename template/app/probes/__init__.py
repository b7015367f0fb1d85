"""Liveness and readiness. Each dependency of the service registers a check with ``add_check``."""

from flask import Flask

from app.probes.readiness import Readiness, add_check
from app.probes.routes import blueprint

__all__ = ["Readiness", "add_check", "init_app"]


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
