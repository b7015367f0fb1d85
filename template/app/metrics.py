"""``GET /metrics`` for Prometheus.

Requests are labelled by route, not by path, so that scans of the service add no series.
"""

import os
# {% if "socketio" in components %}
from pathlib import Path
# {% endif %}

from flask import Blueprint, Flask, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
# {% if "socketio" in components %}
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
# {% else %}
from prometheus_client.multiprocess import MultiProcessCollector
# {% endif %}

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds", "Time to answer a request.", ["method", "route"]
)

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


def record(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request. ``route`` is None if no route matched."""
    known = method if method in METHODS else "OTHER"
    REQUESTS.labels(known, route or "unmatched", status).inc()
    DURATION.labels(known, route or "unmatched").observe(seconds)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Return the metrics of all worker processes together."""
    registry = REGISTRY
    # {% if "socketio" in components %}
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        forget_ended_processes(Path(folder))
    # {% else %}
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # {% endif %}
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
# {% if "socketio" in components %}


def forget_ended_processes(folder: Path) -> None:
    """Drop the gauges of processes that have ended."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
# {% endif %}
