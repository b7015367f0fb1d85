"""``GET /metrics`` for Prometheus.

Routes are labelled by their rule, never by the path, so a scan of the service adds no series.
"""

import os
from functools import cache
from pathlib import Path

from flask import Blueprint, Flask, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds", "Time to answer a request.", ["method", "route"]
)

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


def record(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request; one that no route matched has none."""
    known = method if method in METHODS else "OTHER"
    requests, duration = series(known, route or "unmatched", status)
    requests.inc()
    duration.observe(seconds)


@cache
def series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """The library looks them up far slower."""
    return REQUESTS.labels(method, route, status), DURATION.labels(method, route)


@blueprint.get("/metrics")
def metrics() -> Response:
    """The numbers of all worker processes together, where the server runs several."""
    registry = REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        forget_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def forget_the_dead(folder: Path) -> None:
    """Drop the gauges of processes that are gone, whichever server they were of."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
