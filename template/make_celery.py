"""What workers and the scheduler load: ``celery --app make_celery worker``."""

import atexit
import logging
import os
import shutil
import tempfile

# Where all processes of a worker keep their numbers; set before anything imports the metrics, which
# the package does.
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

#: Seconds that Redis may take to answer a worker.
PATIENCE = 10.0

log = structlog.stdlib.get_logger(__name__)
flask_app = create_app()
celery_app = flask_app.extensions["celery"]
# A worker has more patience than a request: it outlasts that its servers are away for a while.
celery_app.conf.result_backend_always_retry = True
celery_app.conf.redis_socket_timeout = PATIENCE
if "socket_timeout" in celery_app.conf.broker_transport_options:
    celery_app.conf.broker_transport_options["socket_timeout"] = PATIENCE


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def keep_logging(**_: object) -> None:
    """Log as the service does, but neither what jobs are given nor what they return."""
    billiard.util.get_logger().propagate = True
    billiard.util.get_logger().setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").addFilter(drop_data)
    logging.getLogger("celery.worker.strategy").addFilter(drop_data)


def drop_data(record: logging.LogRecord) -> bool:
    record.__dict__.pop("data", None)
    return True


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def lower_priority(**_: object) -> None:
    """On one machine, requests go first."""
    os.nice(flask_app.config["WORKER_NICE"])


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
