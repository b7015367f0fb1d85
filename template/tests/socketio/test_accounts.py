"""A connection lasts as long as its access token."""

from collections.abc import Callable
from time import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.database import db
from app.jwt import tokens
from app.jwt.schemas import TokenPair
from app.socketio import accounts, push
from app.socketio.connections import KEY, Connection
from app.users.models import User

Connect = Callable[[], Any]


def connection_of(app: Flask, client: Any) -> Connection:
    connection: Connection = app.extensions["socketio"].server.environ[client.eio_sid][KEY]
    return connection


def log_in(app: Flask, email: str) -> TokenPair:
    """The tokens of a new account."""
    with app.app_context():
        account = User(email=email, name="Somebody")
        db.session.add(account)
        db.session.commit()
        return tokens.issue(account)


def test_a_connection_needs_an_access_token(app: Flask, connect: Connect) -> None:
    assert connect().is_connected()
    pair = log_in(app, "ann@example.com")
    wrong = (1, "x", "\ud800", pair.refresh_token)
    for auth in (None, "x", {}, *({"token": token} for token in wrong)):
        client = app.extensions["socketio"].test_client(app, auth=auth)
        assert not client.is_connected(), auth


def test_the_sender_is_the_account(app: Flask, connect: Connect) -> None:
    client = connect()
    client.emit("join", {"room": "lobby"})
    sent = client.emit("chat", {"room": "lobby", "text": "Hello!"}, callback=True)
    assert sent["sender"] == f"account-{connection_of(app, client).account_id}"


def test_events_after_logout_are_refused(client: FlaskClient, connect: Connect) -> None:
    socket = connect()
    assert client.post("/api/v1/auth/logout").status_code == 204
    answer = socket.emit("join", {"room": "lobby"}, callback=True)
    assert (answer["status"], answer["detail"]) == (401, "The token was revoked.")


@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_a_connection_ends_with_its_token(
    app: Flask, client: FlaskClient, connect: Connect, reason: str
) -> None:
    socket = connect()
    connection = connection_of(app, socket)
    with app.app_context():
        accounts.end_sessions([connection])
    assert socket.is_connected()
    if reason == "revoked":
        client.post("/api/v1/auth/logout")
    else:
        connection.expires_at = time()
    with app.app_context():
        accounts.end_sessions([connection])
    (error,) = [one["args"][0] for one in socket.queue if one["name"] == "error"]
    assert error["status"] == 401
    assert reason in error["detail"]
    assert not socket.is_connected()
    assert connection.ended


def test_other_components_can_send_to_an_account(app: Flask, connect: Connect) -> None:
    ann = app.extensions["socketio"].test_client(
        app, auth={"token": log_in(app, "ann@example.com").access_token}
    )
    owner = connect()
    account_id = connection_of(app, ann).account_id
    assert account_id is not None
    with app.app_context():
        push.to_user(account_id, "news", {"text": "You have mail."})
    assert [one["name"] for one in ann.get_received()] == ["news"]
    assert not owner.get_received()
    ann.disconnect()
