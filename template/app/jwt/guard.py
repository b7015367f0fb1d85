"""The guard of every business route: closed unless the view says otherwise."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request
from flask_jwt_extended import verify_jwt_in_request

from app.api import PREFIX

V = TypeVar("V", bound=Callable[..., Any])


def public(view: V) -> V:
    """Let a view be called without a token. It goes above ``@endpoint``."""
    view.takes = None  # type: ignore[attr-defined]
    return view


def takes_refresh_token(view: V) -> V:
    """Ask for a refresh token in the place of an access token. It goes above ``@endpoint``."""
    view.takes = "refresh"  # type: ignore[attr-defined]
    return view


def init_app(app: Flask) -> None:
    app.before_request(require_token)


def require_token() -> None:
    """Ask for the view's token before the request's body is even read."""
    rule = request.url_rule
    if rule is None or not rule.rule.startswith(PREFIX) or request.method == "OPTIONS":
        return
    takes = getattr(current_app.view_functions[rule.endpoint], "takes", "access")
    if takes:
        spell_scheme(request.environ)
        verify_jwt_in_request(refresh=takes == "refresh")


def spell_scheme(environ: dict[str, Any]) -> None:
    """Any case of the scheme's name will do (RFC 9110, section 11.1); the library knows one."""
    given = environ.get("HTTP_AUTHORIZATION", "")
    if not given.startswith("Bearer ") and given[:7].lower() == "bearer ":
        environ["HTTP_AUTHORIZATION"] = f"Bearer {given[7:]}"
