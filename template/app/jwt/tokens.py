"""Tokens: how they are issued, rotated and revoked.

A refresh token is good for one use. Used again, somebody else has it too, and its whole family
is revoked (RFC 9700, section 4.14.2).
"""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from flask import Flask, Response, current_app
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from flask_jwt_extended.exceptions import JWTDecodeError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.bodies import drain
from app.database import MAX_ID, db, now
from app.errors import problem
from app.jwt import denylist
from app.jwt.denylist import get_denylist
from app.jwt.models import Account
from app.jwt.schemas import TokenPair

Claims = dict[str, Any]
SUBJECT = re.compile("[1-9][0-9]{0,9}")  # an account's id
CHALLENGE = WWWAuthenticate("Bearer")  # what a 401 must carry (RFC 9110)

jwt = JWTManager()


def init_app(app: Flask) -> None:
    denylist.init_app(app)
    jwt.init_app(app)


def issue(account: Account, family: str | None = None) -> TokenPair:
    """A new pair for ``account``; a new family where it begins with a login."""
    claims = {"family": family or uuid4().hex}
    identity = str(account.id)
    return TokenPair(
        access_token=create_access_token(identity, additional_claims=claims),
        refresh_token=create_refresh_token(identity, additional_claims=claims),
        expires_in=int(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"].total_seconds()),
    )


def rotate(account: Account, claims: Claims) -> TokenPair:
    """Spend a verified refresh token for a new pair.

    Raises:
        werkzeug.exceptions.Unauthorized: it was spent before; its family is now revoked.
    """
    if not get_denylist().add(f"used:{claims['jti']}", expiry()):
        revoke(claims)
        raise Unauthorized("The refresh token was used before. Log in again.", None, CHALLENGE)
    return issue(account, claims["family"])


def revoke(claims: Claims) -> None:
    """Revoke every token that descends from the same login."""
    get_denylist().add(family_key(claims["family"]), expiry())


def family_key(family: str) -> str:
    """What stands in the denylist for a revoked family."""
    return f"family:{family}"


def expiry() -> datetime:
    """By then every token that exists now has expired."""
    config = current_app.config
    lives = (config["JWT_ACCESS_TOKEN_EXPIRES"], config["JWT_REFRESH_TOKEN_EXPIRES"])
    longest: timedelta = max(lives)
    return now() + longest


@jwt.token_in_blocklist_loader
def is_revoked(header: Claims, claims: Claims) -> bool:
    if not is_ours(claims):
        raise JWTDecodeError("not issued here")
    return get_denylist().contains(family_key(claims["family"]))


def is_ours(claims: Claims) -> bool:
    """Whether ``issue`` makes such tokens: others may be signed with the same key."""
    return (
        claims.get("type") in ("access", "refresh")
        and isinstance(claims.get("family"), str)
        and "exp" in claims
        and SUBJECT.fullmatch(claims.get("sub", "")) is not None
        and int(claims["sub"]) <= MAX_ID
    )


@jwt.user_lookup_loader
def load_account(header: Claims, claims: Claims) -> Account | None:
    return db.session.get(Account, int(claims["sub"]))


def unauthorized(detail: str, error: str | None = None) -> Response:
    """401, with the challenge that RFC 6750 asks for."""
    drain()
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return problem(401, detail, {"WWW-Authenticate": challenge})


@jwt.unauthorized_loader
def handle_missing(reason: str) -> Response:
    return unauthorized("Send a token: Authorization: Bearer <token>.")


@jwt.invalid_token_loader
def handle_invalid(reason: str) -> Response:
    return unauthorized("The token is not valid.", "invalid_token")


@jwt.expired_token_loader
def handle_expired(header: Claims, claims: Claims) -> Response:
    return unauthorized("The token has expired.", "invalid_token")


@jwt.revoked_token_loader
def handle_revoked(header: Claims, claims: Claims) -> Response:
    return unauthorized("The token was revoked.", "invalid_token")


@jwt.user_lookup_error_loader
def handle_unknown_account(header: Claims, claims: Claims) -> Response:
    return unauthorized("The token's account is gone.", "invalid_token")
