"""``/api/v1/auth``."""

from flask import Blueprint, current_app, url_for
from flask_jwt_extended import current_user, get_jwt
from werkzeug.exceptions import Forbidden

from app.api import PREFIX, endpoint
from app.jwt import service, tokens
from app.jwt.limits import address_and_email, limiter, login_failed, setting
from app.jwt.schemas import Login, Registration, TokenPair
from app.users.models import User
from app.users.schemas import UserOut

blueprint = Blueprint("auth", __name__, url_prefix=f"{PREFIX}/auth")


@blueprint.post("/register")
@limiter.limit(setting("REGISTER_RATE_LIMIT"))
@endpoint(returns=UserOut, status=201, token=None, errors=(403, 409, 429))
def register(body: Registration) -> tuple[User, dict[str, str]]:
    """Create an account."""
    if not current_app.config["REGISTRATION_OPEN"]:
        raise Forbidden("Registration is closed.")
    return service.register(body), {"Location": url_for("auth.me")}


@blueprint.post("/login")
@limiter.limit(setting("LOGIN_ADDRESS_RATE_LIMIT"), deduct_when=login_failed)
@limiter.limit(setting("LOGIN_RATE_LIMIT"), key_func=address_and_email, deduct_when=login_failed)
@endpoint(returns=TokenPair, token=None, errors=(401, 429))
def login(body: Login) -> TokenPair:
    """Log in and get an access token and a refresh token."""
    return tokens.issue(service.authenticate(body))


@blueprint.post("/refresh")
@endpoint(returns=TokenPair, token="refresh")  # noqa: S106
def refresh() -> TokenPair:
    """Exchange a refresh token for a new pair of tokens.

    Send the refresh token as the bearer token. It can be used once; a second use revokes every
    token that descends from the same login.
    """
    return tokens.rotate(current_user, get_jwt())


@blueprint.post("/logout")
@endpoint(status=204)
def logout() -> None:
    """Revoke every token that descends from the same login."""
    tokens.revoke(get_jwt())


@blueprint.get("/me")
@endpoint(returns=UserOut)
def me() -> User:
    """Get the user who sends the token."""
    user: User = current_user
    return user
