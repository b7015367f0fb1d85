"""Routes under ``/api/v1`` require an access token, unless their view is marked otherwise."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request
from flask_jwt_extended import verify_jwt_in_request

from app.api import PREFIX

V = TypeVar("V", bound=Callable[..., Any])


def public(view: V) -> V:
    """Let clients call a view without a token. Goes above ``@endpoint``."""
    view.token_type = None  # type: ignore[attr-defined]
    return view


def refresh_token_required(view: V) -> V:
    """Require a refresh token instead of an access token. Goes above ``@endpoint``."""
    view.token_type = "refresh"  # type: ignore[attr-defined]  # noqa: S105
    return view


def init_app(app: Flask) -> None:
    app.before_request(require_token)


def require_token() -> None:
    """Check the token before the request's body is read."""
    rule = request.url_rule
    if rule is None or not rule.rule.startswith(PREFIX) or request.method == "OPTIONS":
        return
    token_type = getattr(current_app.view_functions[rule.endpoint], "token_type", "access")
    if token_type:
        normalize_scheme(request.environ)
        verify_jwt_in_request(refresh=token_type == "refresh")  # noqa: S105


def normalize_scheme(environ: dict[str, Any]) -> None:
    """The scheme's name is case-insensitive (RFC 9110, section 11.1), but not in the library."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    if header[:7].lower() == "bearer ":
        environ["HTTP_AUTHORIZATION"] = f"Bearer {header[7:]}"
