"""``GET /metrics`` for Prometheus.

Requests are labelled by route, not by path, so that scans of the service add no series.
"""

import os

from flask import Blueprint, Flask, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

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
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
