"""Background jobs. In this package too, ``import celery`` imports the library."""

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.celery import checksum
from app.celery.application import celery_init_app
from app.celery.routes import blueprint
# {% if "probes" in components %}
from app.celery.service import ping
# {% endif %}

__all__ = ["checksum", "init_app"]


def init_app(app: Flask) -> None:
    celery_init_app(app)
    app.register_blueprint(blueprint)
    # {% if "probes" in components %}
    probes.add_check(app, "jobs", ping)
    # {% endif %}
