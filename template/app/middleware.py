"""The request ID, log line, metrics and security headers of every request.

WSGI middleware rather than Flask hooks, because it also sees requests that Flask refuses.
"""

import re
from collections.abc import Callable, Iterable
from random import getrandbits
from time import perf_counter
from typing import Any
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

    def __init__(self, wsgi_app: "WSGIApplication") -> None:
        self.wsgi_app = wsgi_app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        started = perf_counter()
        environ["REMOTE_ADDR"] = client_address(environ.get("REMOTE_ADDR", ""))
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if SANE_ID.fullmatch(given) else f"{getrandbits(128):032x}"
        clear_contextvars()
        bind_contextvars(request_id=request_id)

        def start(status: str, headers: Headers, *error: Any) -> Callable[..., object]:
            complete(headers, request_id, environ["wsgi.url_scheme"])
            report(environ, int(status[:3]), perf_counter() - started)
            return start_response(status, headers, *error)

        return self.wsgi_app(environ, start)


def report(environ: "WSGIEnvironment", status: int, seconds: float) -> None:
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


def complete(headers: Headers, request_id: str, scheme: str) -> None:
    """Add the headers of every response, unless the view has set them."""
    names = {name for name, _ in headers}
    headers += [header for header in HEADERS if header[0] not in names]
    if scheme == "https":
        headers.append(HSTS)
    headers.append(("X-Request-ID", request_id))
