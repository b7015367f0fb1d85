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
        verify_jwt_in_request(refresh=takes == "refresh")
