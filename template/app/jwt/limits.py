"""Rate limits of what attackers try in bulk; shared by all processes where there is Redis."""

import re

from flask import Flask, Response, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from pydantic_core import from_json

from app.bodies import read_body

MAX_CREDENTIALS = 4096  # bytes of a body; more is no login, and would take its time to be read

limiter = Limiter(get_remote_address)


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    app.config["RATELIMIT_STORAGE_URI"] = re.sub("^unix:", "redis+unix:", url or "memory://")
    if url:  # seconds
        app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    app.config["RATELIMIT_HEADERS_ENABLED"] = True
    app.after_request(keep_retry_after)
    limiter.init_app(app)


def keep_retry_after(response: Response) -> Response:
    """The limiter's headers stand in every answer; only what passes asks to come back later."""
    if response.status_code not in (429, 503):
        response.headers.remove("Retry-After")
    return response


def login_rate() -> str:
    return str(current_app.config["LOGIN_RATE_LIMIT"])


def login_address_rate() -> str:
    return str(current_app.config["LOGIN_ADDRESS_RATE_LIMIT"])


def register_rate() -> str:
    return str(current_app.config["REGISTER_RATE_LIMIT"])


def address_and_account() -> str:
    """So that an attacker of one account locks out nobody else behind the same address."""
    given = read_body()
    try:
        body = from_json(given) if len(given) <= MAX_CREDENTIALS else None
    except ValueError:
        body = None
    email = body.get("email") if isinstance(body, dict) else None
    return f"{get_remote_address()} {str(email)[:254].lower()}"


def failed(response: Response) -> bool:
    return response.status_code == 401
