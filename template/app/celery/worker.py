"""What workers and the scheduler load: ``celery --app app.celery.worker worker``."""

import atexit
import logging
import os
import shutil
import tempfile

# Where all processes of a worker keep their numbers; set before anything imports the metrics.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    atexit.register(shutil.rmtree, os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)

import billiard.util
import structlog
from celery import signals
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from app import create_app
from app.celery.kinds import STARTS
# {% if database %}
from app.database import db
# {% endif %}

log = structlog.stdlib.get_logger(__name__)
flask_app = create_app()
app = flask_app.extensions["celery"]
# A result is worth waiting for: it survives that its store is away for a while.
app.conf.result_backend_always_retry = True


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def keep_logging(**_: object) -> None:
    """Log as the service does, but neither what jobs are given nor what they return."""
    billiard.util.get_logger().propagate = True
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").addFilter(drop_data)
    logging.getLogger("celery.worker.strategy").addFilter(drop_data)


def drop_data(record: logging.LogRecord) -> bool:
    record.__dict__.pop("data", None)
    return True


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def serve_metrics(**_: object) -> None:
    """``/metrics`` of all processes of this worker, on a port of its own."""
    port = flask_app.config["WORKER_METRICS_PORT"]
    if port:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        start_http_server(port, registry=registry)
        log.info("metrics are served", port=port)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def start_process(**_: object) -> None:
    """Make a process that was forked ready for jobs."""
    with flask_app.app_context():
        # {% if database %}
        db.engine.dispose(close=False)  # the parent would read from the same connections
        # {% endif %}
        for load in STARTS:
            load()
