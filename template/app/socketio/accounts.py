"""Who is connected: a connection lasts as long as the access token that opened it."""

from time import time

from flask import current_app, request
from flask_jwt_extended import current_user, get_jwt, verify_jwt_in_request
from flask_socketio import join_room

from app.errors import problem
from app.jwt import denylist
from app.jwt.tokens import family_key
from app.socketio.connections import Connection
from app.socketio.push import user_room


def authenticate(connection: Connection, auth: object) -> None:
    """Verify the token in ``{"token": …}`` as if it had come with an HTTP request.

    All events of the connection share the request's environment, so each of them is verified too.
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


def end_sessions(connections: list[Connection]) -> None:
    """Disconnect clients whose token has expired or was revoked."""
    keys = {family_key(connection.family) for connection in connections}
    revoked = denylist.find(keys) if keys else set()
    for connection in connections:
        if connection.expires_at <= time():
            disconnect(connection, "The token has expired.")
        elif family_key(connection.family) in revoked:
            disconnect(connection, "The token was revoked.")


def disconnect(connection: Connection, detail: str) -> None:
    """Tell the client why, and disconnect it."""
    socketio = current_app.extensions["socketio"]
    socketio.emit("error", problem(401, detail).get_json(), to=connection.sid, ignore_queue=True)
    socketio.server.disconnect(connection.sid, ignore_queue=True)
