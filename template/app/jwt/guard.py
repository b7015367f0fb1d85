"""Routes under ``/api/v1`` require an access token, unless ``@endpoint`` says otherwise."""

from typing import Any

from flask import Flask, current_app, request
from flask_jwt_extended import verify_jwt_in_request

from app.api import PREFIX


def init_app(app: Flask) -> None:
    app.before_request(require_token)


def require_token() -> None:
    """Check the token before the request's body is read."""
    rule = request.url_rule
    if rule is None or not rule.rule.startswith(PREFIX) or request.method == "OPTIONS":
        return
    endpoint = getattr(current_app.view_functions[rule.endpoint], "endpoint", None)
    token = endpoint.token if endpoint else "access"
    if token:
        normalize_scheme(request.environ)
        verify_jwt_in_request(refresh=token == "refresh")  # noqa: S105


def normalize_scheme(environ: dict[str, Any]) -> None:
    """The scheme's name is case-insensitive (RFC 9110, section 11.1), but not in the library."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if header[:7].lower() == "bearer ":
        environ["HTTP_AUTHORIZATION"] = f"Bearer {header[7:]}"
