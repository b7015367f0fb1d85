"""``GET /metrics`` for Prometheus.

Routes are labelled by their rule, never by the path, so a scan of the service adds no series.
"""

import os
from time import perf_counter

from flask import Blueprint, Flask, Response, g, request
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
    app.before_request(start_timer)
    app.after_request(record)
    app.register_blueprint(blueprint)


def start_timer() -> None:
    g.metrics_started = perf_counter()


def record(response: Response) -> Response:
    method = request.method if request.method in METHODS else "OTHER"
    route = request.url_rule.rule if request.url_rule else "unmatched"
    REQUESTS.labels(method, route, response.status_code).inc()
    DURATION.labels(method, route).observe(perf_counter() - g.metrics_started)
    return response


@blueprint.get("/metrics")
def metrics() -> Response:
    """The numbers of all worker processes together, where the server runs several."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
