"""Rooms, messages and the answers to bad events."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.socketio import push
from app.socketio.chat import MAX_ROOMS

Connect = Callable[[], Any]

LOBBY = {"room": "lobby"}


def call(client: Any, event: str, *arguments: object) -> Any:
    """The acknowledgement of an event."""
    return client.emit(event, *arguments, callback=True)


def received(client: Any, event: str) -> list[Any]:
    """What an event has carried since the last call."""
    found = [one["args"] for one in client.get_received() if one["name"] == event]
    return [args[0] if isinstance(args, list) else args for args in found]


def test_a_message_reaches_everybody_in_the_room(connect: Connect) -> None:
    ann, bob, eve = connect(), connect(), connect()
    assert call(ann, "join", LOBBY) == call(bob, "join", LOBBY) == LOBBY
    call(eve, "join", {"room": "elsewhere"})
    sent = call(ann, "chat", LOBBY | {"text": "Hello!"})
    assert set(sent) == {"room", "text", "sender", "sent_at"}
    assert sent["text"] == "Hello!"
    assert received(ann, "message") == received(bob, "message") == [sent]
    assert not received(eve, "message")


def test_leaving_a_room(connect: Connect) -> None:
    ann, bob = connect(), connect()
    for client in (ann, bob):
        call(client, "join", LOBBY)
    for _ in range(2):  # a second time is not an error
        assert call(bob, "leave", LOBBY) == LOBBY
    call(ann, "chat", LOBBY | {"text": "Still here?"})
    assert not received(bob, "message")
    assert call(bob, "chat", LOBBY | {"text": "No."})["status"] == 403


@pytest.mark.parametrize(
    ("event", "arguments", "field"),
    [
        ("join", [], "body"),
        ("join", [LOBBY, LOBBY], "body"),
        ("join", ["lobby"], "body"),
        ("join", [{}], "room"),
        ("join", [{"room": "../etc"}], "room"),
        ("join", [{"room": "account:1"}], "room"),
        ("join", [{"room": "x" * 65}], "room"),
        ("leave", [{"room": "lobby", "other": 1}], "other"),
        ("chat", [LOBBY | {"text": ""}], "text"),
        ("chat", [LOBBY | {"text": "x" * 2001}], "text"),
    ],
)
def test_an_invalid_event_is_answered(
    connect: Connect, event: str, arguments: list[object], field: str
) -> None:
    client = connect()
    answer = call(client, event, *arguments)
    assert (answer["status"], answer["event"]) == (422, event)
    assert [error["field"] for error in answer["errors"]] == [field]
    assert received(client, "error") == [answer]
    assert client.is_connected()


def test_an_unknown_event_is_answered(connect: Connect) -> None:
    answer = call(connect(), "x" * 1000, {})
    assert answer["status"] == 404
    assert "chat, join, leave" in answer["detail"]
    assert len(answer["event"]) == 50


def test_an_internal_error_is_answered_without_details(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("app.socketio.chat.join_room", broken)
    client = connect()
    answer = call(client, "join", LOBBY)
    assert answer["status"] == 500
    assert "hunter2" not in str(answer)
    assert call(client, "leave", LOBBY) == LOBBY


def test_rooms_are_limited(app: Flask, connect: Connect) -> None:
    app.config["SOCKETIO_EVENT_RATE"] = 1000
    client = connect()
    rooms = [{"room": f"room-{number}"} for number in range(MAX_ROOMS + 1)]
    assert [call(client, "join", room) for room in rooms[:-1]] == rooms[:-1]
    assert call(client, "join", rooms[-1])["status"] == 409
    assert call(client, "join", rooms[0]) == rooms[0]


def test_the_event_rate_is_limited(app: Flask, connect: Connect) -> None:
    app.config["SOCKETIO_EVENT_RATE"] = 1
    patient, flooding = connect(), connect()
    assert [call(flooding, "leave", LOBBY).get("status") for _ in range(3)] == [None, 429, 429]
    assert flooding.is_connected()
    call(flooding, "leave", LOBBY)
    assert not flooding.is_connected()
    assert call(patient, "leave", LOBBY) == LOBBY


def test_other_components_can_send_to_a_room(app: Flask, connect: Connect) -> None:
    client = connect()
    call(client, "join", LOBBY)
    with app.app_context():
        push.to_room("chat:lobby", "news", {"text": "Lunch is ready."})
    assert received(client, "news") == [{"text": "Lunch is ready."}]


def test_events_are_counted(connect: Connect, anonymous: FlaskClient) -> None:
    client = connect()
    call(client, "join", LOBBY)
    call(client, "scan-1", {})
    text = anonymous.get("/metrics").text
    assert 'socketio_events_total{event="join",status="200"}' in text
    assert 'socketio_events_total{event="unknown",status="404"}' in text
    assert "scan" not in text
