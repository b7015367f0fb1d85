"""The application of workers and beat: ``celery --app make_celery worker``."""

import atexit
import logging
import os
import shutil
import tempfile

# The processes of a worker share their metrics in this folder. Importing the metrics, which the
# package does, reads the variable.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    atexit.register(shutil.rmtree, os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)

from celery import signals
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from app import create_app
# {% if database %}
from app.database import db
# {% endif %}
# {% if serving %}
from app.serving.models import load_models
# {% endif %}

flask_app = create_app()
celery_app = flask_app.extensions["celery"]
# Requests fail fast; a worker waits until its servers are back.
celery_app.conf.result_backend_always_retry = True
celery_app.conf.redis_socket_timeout = 10
if "socket_timeout" in celery_app.conf.broker_transport_options:
    celery_app.conf.broker_transport_options["socket_timeout"] = 10


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def keep_logging(**_: object) -> None:
    """Log like the rest of the service, without the input and results of jobs."""
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).addFilter(drop_data)


def drop_data(record: logging.LogRecord) -> bool:
    record.__dict__.pop("data", None)
    return True


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def serve_metrics(**_: object) -> None:
    """Serve the metrics of this worker on ``WORKER_METRICS_PORT``, if that is set."""
    if port := flask_app.config["WORKER_METRICS_PORT"]:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        start_http_server(port, registry=registry)
# {% if database or serving %}


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def start_process(**_: object) -> None:
    """Prepare a worker process, which was forked, for its first job."""
    # {% if database %}
    with flask_app.app_context():
        db.engine.dispose(close=False)  # the parent's connections are not ours to use
    # {% endif %}
    # {% if serving %}
    load_models(flask_app)
    # {% endif %}
# {% endif %}
