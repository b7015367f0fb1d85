"""Who is connected. A connection is worth as much as the access token that opened it."""

from collections.abc import Iterator
from time import time

from flask import request
from flask_jwt_extended import current_user, get_jwt, verify_jwt_in_request
from flask_socketio import join_room

from app.jwt.denylist import get_denylist
from app.jwt.tokens import family_key
from app.socketio.connections import Connection
from app.socketio.push import user_room


def authenticate(connection: Connection, auth: object) -> None:
    """Check the token in ``{"token": …}``, as if it had come with an HTTP request.

    From then on it stands in the environment that all events of the connection share, and each of
    them is checked like a request.
    """
    token = auth.get("token") if isinstance(auth, dict) else None
    if isinstance(token, str) and token.isascii():
        request.environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    verify_jwt_in_request()
    claims = get_jwt()
    connection.account_id = current_user.id
    connection.family = claims["family"]
    connection.expires_at = claims["exp"]
    join_room(user_room(current_user.id))


def over(connections: list[Connection]) -> Iterator[tuple[Connection, str]]:
    """Those whose token has expired or was revoked, and which of the two it was."""
    now = time()
    keys = {family_key(connection.family) for connection in connections}
    revoked = get_denylist().which(keys) if keys else set()
    for connection in connections:
        if connection.expires_at <= now:
            yield connection, "The token has expired."
        elif family_key(connection.family) in revoked:
            yield connection, "The token was revoked."
