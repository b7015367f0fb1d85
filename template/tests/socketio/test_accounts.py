"""A connection is worth as much as the token that opened it."""

from collections.abc import Callable
from time import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.database import db
from app.jwt import tokens
from app.jwt.models import Account
from app.jwt.schemas import TokenPair
from app.socketio import push
from app.socketio.connections import KEY, Connection
from app.socketio.gate import Gate

Connect = Callable[[], Any]


def connection_of(app: Flask, client: Any) -> Connection:
    connection: Connection = app.extensions["socketio"].server.environ[client.eio_sid][KEY]
    return connection


def log_in(app: Flask, email: str) -> TokenPair:
    """What a login of a new account answers with."""
    with app.app_context():
        account = Account(email=email, password_hash="unused")
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


def test_who_speaks_is_the_account(app: Flask, connect: Connect) -> None:
    client = connect()
    client.emit("join", {"room": "lobby"})
    said = client.emit("chat", {"room": "lobby", "text": "Hello!"}, callback=True)
    assert said["sender"] == f"account-{connection_of(app, client).account_id}"


def test_an_event_after_the_logout_is_refused(
    app: Flask, client: FlaskClient, connect: Connect
) -> None:
    socket = connect()
    assert client.post("/api/v1/auth/logout").status_code == 204
    answer = socket.emit("join", {"room": "lobby"}, callback=True)
    assert (answer["status"], answer["detail"]) == (401, "The token was revoked.")


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_connection_ends_with_its_token(
    app: Flask, client: FlaskClient, connect: Connect, how: str
) -> None:
    gate: Gate = app.extensions["socketio_gate"]
    socket = connect()
    connection = connection_of(app, socket)
    gate.connections.add(connection)
    with app.app_context():
        gate.sweep()
    assert socket.is_connected()
    if how == "revoked":
        client.post("/api/v1/auth/logout")
    else:
        connection.expires_at = time()
    with app.app_context():
        gate.sweep()
    gate.connections.remove(connection)
    (error,) = [one["args"][0] for one in socket.queue if one["name"] == "error"]
    assert error["status"] == 401
    assert how in error["detail"]
    assert not socket.is_connected()
    assert connection.ended is not None


def test_other_components_reach_an_account_and_nobody_else(app: Flask, connect: Connect) -> None:
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
