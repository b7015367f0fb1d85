"""Issue, rotate and revoke tokens.

Tokens that descend from one login form a family. A refresh token can be used once: a second use
means that it was stolen, and revokes its family (RFC 9700, section 4.14.2).
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from flask import Flask, Response, current_app
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.database import db
from app.errors import handle_http_exception
from app.jwt import denylist
from app.jwt.schemas import TokenPair
from app.users.models import User

Claims = dict[str, Any]
CHALLENGE = WWWAuthenticate("Bearer")  # required with a 401 (RFC 9110)
INVALID_TOKEN = WWWAuthenticate("Bearer", {"error": "invalid_token"})  # RFC 6750

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
    if not denylist.add(f"used:{claims['jti']}"):
        revoke(claims)
        raise Unauthorized("The refresh token was used before. Log in again.", None, CHALLENGE)
    return issue(user, claims["family"])


def revoke(claims: Claims) -> None:
    """Revoke the token's family."""
    denylist.add(family_key(claims["family"]))


def family_key(family: str) -> str:
    """The key of a revoked family in the denylist."""
    return f"family:{family}"


@jwt.token_in_blocklist_loader
def is_revoked(header: Claims, claims: Claims) -> bool:
    return bool(denylist.find([family_key(claims["family"])]))


@jwt.user_lookup_loader
def load_user(header: Claims, claims: Claims) -> User | None:
    return db.session.get(User, int(claims["sub"]))


def reject(detail: str, challenge: WWWAuthenticate = INVALID_TOKEN) -> Callable[..., Response]:
    return lambda *_: handle_http_exception(Unauthorized(detail, None, challenge))


jwt.unauthorized_loader(reject("Send a token: Authorization: Bearer <token>.", CHALLENGE))
jwt.invalid_token_loader(reject("Invalid token."))
jwt.expired_token_loader(reject("The token has expired."))
jwt.revoked_token_loader(reject("The token was revoked."))
jwt.user_lookup_error_loader(reject("The user no longer exists."))
