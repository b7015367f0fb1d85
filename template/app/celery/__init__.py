"""Background jobs. ``import celery`` is the library everywhere, here too."""

from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.celery import checksum
from app.celery.application import celery_init_app
from app.celery.commands import jobs
from app.celery.routes import blueprint
# {% if "probes" in components %}
from app.celery.service import ping
# {% endif %}

__all__ = ["checksum", "init_app"]


def init_app(app: Flask) -> None:
    celery_init_app(app)
    app.extensions["jobs_failed"] = 0.0  # when the broker or the result store did not answer
    app.register_blueprint(blueprint)
    app.cli.add_command(jobs)
    # {% if "probes" in components %}
    probes.add_check(app, "jobs", ping)
    # {% endif %}
