"""Rate limits of what attackers try in bulk; shared by all processes where there is Redis."""

from flask import Response, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

limiter = Limiter(get_remote_address)


def login_rate() -> str:
    return str(current_app.config["LOGIN_RATE_LIMIT"])


def register_rate() -> str:
    return str(current_app.config["REGISTER_RATE_LIMIT"])


def address_and_account() -> str:
    """So that one account's attacker locks out nobody else, and an office shares no limit."""
    body = request.get_json(silent=True)
    email = body.get("email") if isinstance(body, dict) else None
    return f"{get_remote_address()} {str(email)[:254].lower()}"


def failed(response: Response) -> bool:
    return response.status_code == 401
