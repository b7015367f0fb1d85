"""``/api/v1/auth``."""

from flask import Blueprint, url_for
from flask_jwt_extended import current_user, get_jwt

from app.api import PREFIX, endpoint
from app.jwt import service, tokens
from app.jwt.guard import public, takes_refresh_token
from app.jwt.limits import (
    address_and_account,
    failed,
    limiter,
    login_address_rate,
    login_rate,
    register_rate,
)
from app.jwt.models import Account
from app.jwt.schemas import AccountOut, Credentials, Registration, TokenPair

blueprint = Blueprint("auth", __name__, url_prefix=f"{PREFIX}/auth")


@blueprint.post("/register")
@public
@limiter.limit(register_rate)
@endpoint(returns=AccountOut, status=201, errors=(409, 429))
def register(body: Registration) -> tuple[Account, dict[str, str]]:
    """Create an account."""
    return service.register(body), {"Location": url_for("auth.me")}


@blueprint.post("/login")
@public
@limiter.limit(login_address_rate, deduct_when=failed)
@limiter.limit(login_rate, key_func=address_and_account, deduct_when=failed)
@endpoint(returns=TokenPair, errors=(401, 429))
def login(body: Credentials) -> TokenPair:
    """Log in: an access token and a refresh token."""
    return tokens.issue(service.authenticate(body))


@blueprint.post("/refresh")
@takes_refresh_token
@endpoint(returns=TokenPair)
def refresh() -> TokenPair:
    """Spend a refresh token for a new pair.

    Send the refresh token as the bearer token. Each is good for one use; a second use revokes
    every token that descends from the same login.
    """
    return tokens.rotate(current_user, get_jwt())


@blueprint.post("/logout")
@endpoint(status=204)
def logout() -> None:
    """Revoke every token that descends from the same login."""
    tokens.revoke(get_jwt())


@blueprint.get("/me")
@endpoint(returns=AccountOut)
def me() -> Account:
    """The account of the token."""
    account: Account = current_user
    return account
