"""Every error response is a problem document (RFC 9457) and reveals no internals."""

from contextlib import suppress
from typing import Any

from flask import Flask, Response, current_app, request
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException, UnprocessableEntity
from werkzeug.http import HTTP_STATUS_CODES

PROBLEM_JSON = "application/problem+json"
SERVER_ERROR = "The server failed to process the request. Quote its X-Request-ID to the operators."
CHUNK = 64 * 1024  # bytes


class Invalid(UnprocessableEntity):
    """422: request validation failed. ``errors`` lists the fields; see ``field_error``."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("Request validation failed; see `errors`.")
        self.errors = errors


def field_error(field: str, detail: str) -> dict[str, str]:
    return {"field": field, "detail": detail}


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """Build a problem document. ``members`` are additional top-level fields."""
    body = {
        "type": "about:blank",
        "title": HTTP_STATUS_CODES[status],
        "status": status,
        "detail": detail,
        **members,
    }
    return Response(to_json(body), status, headers, mimetype=PROBLEM_JSON)


# {% if database or serving or llm or components | select("in", ["celery", "deepface", "s3", "uploads"]) | list %}
def unavailable(detail: str, retry_after: int = 5) -> Response:
    """503: a dependency of the service is down. ``retry_after`` is in seconds."""
    return problem(503, detail, {"Retry-After": str(retry_after)})


# {% endif %}
def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, handle_http_exception)


def handle_http_exception(error: HTTPException) -> Response:
    """Respond with a problem document, and headers such as Allow."""
    drain()
    status = error.code or 500
    detail = SERVER_ERROR if status == 500 else error.description or HTTP_STATUS_CODES[status]
    members: dict[str, Any] = {"errors": error.errors} if isinstance(error, Invalid) else {}
    return problem(status, detail, dict(error.get_headers()), **members)


def drain() -> None:
    """Read what is left of the body, up to twice the limit.

    Otherwise the server closes the connection, and clients may see that instead of the response.
    """
    left = min(request.content_length or 0, 2 * current_app.config["MAX_CONTENT_LENGTH"])
    with suppress(Exception):
        while left > 0 and (chunk := request.environ["wsgi.input"].read(min(CHUNK, left))):
            left -= len(chunk)
