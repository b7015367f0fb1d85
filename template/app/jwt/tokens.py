"""Issue, rotate and revoke tokens.

Tokens that descend from one login form a family. A refresh token can be used once: a second use
means that it was stolen, and revokes its family (RFC 9700, section 4.14.2).
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from flask import Flask, Response, current_app
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.bodies import drain
from app.database import db, now
from app.errors import problem
from app.jwt import denylist
from app.jwt.denylist import get_denylist
from app.jwt.schemas import TokenPair
from app.users.models import User

Claims = dict[str, Any]
CHALLENGE = WWWAuthenticate("Bearer")  # required with a 401 (RFC 9110)

jwt = JWTManager()


def init_app(app: Flask) -> None:
    # Reject tokens of other services, even if they share the key.
    app.config["JWT_ENCODE_ISSUER"] = app.config["JWT_DECODE_ISSUER"] = app.config["KEY_PREFIX"]
    denylist.init_app(app)
    jwt.init_app(app)


def issue(user: User, family: str | None = None) -> TokenPair:
    """Issue a pair of tokens; without ``family``, they start a new one."""
    claims = {"family": family or uuid4().hex}
    identity = str(user.id)
    return TokenPair(
        access_token=create_access_token(identity, additional_claims=claims),
        refresh_token=create_refresh_token(identity, additional_claims=claims),
        expires_in=int(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"].total_seconds()),
    )


def rotate(user: User, claims: Claims) -> TokenPair:
    """Exchange a valid refresh token for a new pair.

    Raises:
        werkzeug.exceptions.Unauthorized: it was used before; its family is revoked now.
    """
    if not get_denylist().add(f"used:{claims['jti']}", latest_expiry()):
        revoke(claims)
        raise Unauthorized("The refresh token was used before. Log in again.", None, CHALLENGE)
    return issue(user, claims["family"])


def revoke(claims: Claims) -> None:
    """Revoke the token's family."""
    get_denylist().add(family_key(claims["family"]), latest_expiry())


def family_key(family: str) -> str:
    """The key of a revoked family in the denylist."""
    return f"family:{family}"


def latest_expiry() -> datetime:
    """When no token that exists now is accepted any more."""
    config = current_app.config
    longest = max(config["JWT_ACCESS_TOKEN_EXPIRES"], config["JWT_REFRESH_TOKEN_EXPIRES"])
    leeway = timedelta(seconds=config["JWT_DECODE_LEEWAY"])
    expiry: datetime = now() + longest + leeway
    return expiry


@jwt.token_in_blocklist_loader
def is_revoked(header: Claims, claims: Claims) -> bool:
    return get_denylist().contains(family_key(claims["family"]))


@jwt.user_lookup_loader
def load_user(header: Claims, claims: Claims) -> User | None:
    return db.session.get(User, int(claims["sub"]))


def unauthorized(detail: str, error: str | None = None) -> Response:
    """401 with a challenge (RFC 6750)."""
    drain()
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return problem(401, detail, {"WWW-Authenticate": challenge})


@jwt.unauthorized_loader
def handle_missing_token(reason: str) -> Response:
    return unauthorized("Send a token: Authorization: Bearer <token>.")


@jwt.invalid_token_loader
def handle_invalid_token(reason: str) -> Response:
    return unauthorized("Invalid token.", "invalid_token")


@jwt.expired_token_loader
def handle_expired_token(header: Claims, claims: Claims) -> Response:
    return unauthorized("The token has expired.", "invalid_token")


@jwt.revoked_token_loader
def handle_revoked_token(header: Claims, claims: Claims) -> Response:
    return unauthorized("The token was revoked.", "invalid_token")


@jwt.user_lookup_error_loader
def handle_deleted_user(header: Claims, claims: Claims) -> Response:
    return unauthorized("The user no longer exists.", "invalid_token")
