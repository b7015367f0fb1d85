"""The request ID, log line, metrics and security headers of every request.

WSGI middleware rather than Flask hooks, because it also sees requests that Flask refuses.
"""

import re
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from flask import Flask
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.wsgi import get_path_info

from app.metrics import record
from app.security import HEADERS, HSTS, client_address

Headers = list[tuple[str, str]]

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = structlog.stdlib.get_logger("app.requests")


def init_app(app: Flask) -> None:
    middleware = app.extensions["middleware"] = RequestMiddleware(app.wsgi_app)
    app.wsgi_app = middleware  # type: ignore[method-assign]


class RequestMiddleware:
    """Accepts an ``X-Request-ID`` or makes one, for all log lines and the response."""

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = perf_counter()
        environ["REMOTE_ADDR"] = client_address(environ.get("REMOTE_ADDR", ""))
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not SANE_ID.fullmatch(request_id):
            request_id = uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)

        def start(status: str, headers: Headers, *error: Any) -> Callable[..., object]:
            names = {name for name, _ in headers}
            headers += [header for header in HEADERS if header[0] not in names]
            headers += [HSTS] if environ["wsgi.url_scheme"] == "https" else []
            headers.append(("X-Request-ID", request_id))
            report(environ, int(status[:3]), perf_counter() - started)
            return start_response(status, headers, *error)

        return self.wsgi_app(environ, start)


def report(environ: WSGIEnvironment, status: int, seconds: float) -> None:
    """Log and count a request when its response begins."""
    request = environ.get("werkzeug.request")  # Flask's, with the matched route
    rule = request.url_rule if request else None
    record(environ["REQUEST_METHOD"], rule.rule if rule else None, status, seconds)
    log.info(
        "request",
        method=environ["REQUEST_METHOD"],
        path=get_path_info(environ),
        status=status,
        duration_ms=round(seconds * 1000, 2),
        remote_addr=environ["REMOTE_ADDR"],
    )
