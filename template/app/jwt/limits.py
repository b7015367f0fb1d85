"""Rate limits for logins and registrations, shared by all processes if ``REDIS_URL`` is set."""

import re
from collections.abc import Callable

from flask import Flask, Response, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from pydantic_core import from_json

from app.api import read_body

MAX_LOGIN_SIZE = 4096  # bytes of a body; larger ones are no login, and slow to parse

limiter = Limiter(get_remote_address)


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    app.config["RATELIMIT_STORAGE_URI"] = re.sub("^unix:", "redis+unix:", url or "memory://")
    app.config["RATELIMIT_KEY_PREFIX"] = app.config["KEY_PREFIX"]
    if url:  # seconds
        app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    app.config["RATELIMIT_HEADERS_ENABLED"] = True
    app.after_request(remove_retry_after)
    limiter.init_app(app)


def remove_retry_after(response: Response) -> Response:
    """The limiter adds the header to every response; keep it where a retry makes sense."""
    if response.status_code not in (429, 503):
        response.headers.remove("Retry-After")
    return response


def setting(name: str) -> Callable[[], str]:
    """A limit from the configuration."""
    return lambda: str(current_app.config[name])


def address_and_email() -> str:
    """The key for attempts to log in to one account from one address."""
    given = read_body()
    try:
        body = from_json(given) if len(given) <= MAX_LOGIN_SIZE else None
    except ValueError:
        body = None
    email = body.get("email") if isinstance(body, dict) else None
    return f"{get_remote_address()} {str(email)[:254].lower()}"


def login_failed(response: Response) -> bool:
    return response.status_code == 401
