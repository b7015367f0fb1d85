"""Rooms, messages, and what bad events are answered with."""

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
    """What came since the last time, of one event."""
    found = [one["args"] for one in client.get_received() if one["name"] == event]
    return [args[0] if isinstance(args, list) else args for args in found]


def test_what_is_said_reaches_all_in_the_room_and_nobody_else(connect: Connect) -> None:
    ann, bob, eve = connect(), connect(), connect()
    assert call(ann, "join", LOBBY) == call(bob, "join", LOBBY) == LOBBY
    call(eve, "join", {"room": "elsewhere"})
    said = call(ann, "chat", LOBBY | {"text": "Hello!"})
    assert set(said) == {"room", "text", "sender", "sent_at"}
    assert said["text"] == "Hello!"
    assert received(ann, "message") == received(bob, "message") == [said]
    assert not received(eve, "message")


def test_who_has_left_gets_no_more(connect: Connect) -> None:
    ann, bob = connect(), connect()
    for client in (ann, bob):
        call(client, "join", LOBBY)
    for _ in range(2):  # a second time is no error
        assert call(bob, "leave", LOBBY) == LOBBY
    call(ann, "chat", LOBBY | {"text": "Still here?"})
    assert not received(bob, "message")
    refused = call(bob, "chat", LOBBY | {"text": "No."})
    assert (refused["status"], refused["detail"]) == (403, "Join the room first.")


def test_a_bad_event_is_answered(connect: Connect) -> None:
    client = connect()
    cases: list[tuple[str, list[object], str]] = [
        ("join", [], "body"),
        ("join", [LOBBY, LOBBY], "body"),
        ("join", ["lobby"], "body"),
        ("join", [None], "body"),
        ("join", [b"lobby"], "body"),
        ("join", [{}], "room"),
        ("join", [{"room": "../etc"}], "room"),
        ("join", [{"room": "account:1"}], "room"),
        ("join", [{"room": "x" * 65}], "room"),
        ("join", [{"room": ["lobby"]}], "room"),
        ("leave", [{"room": "lobby", "other": 1}], "other"),
        ("chat", [LOBBY | {"text": ""}], "text"),
        ("chat", [LOBBY | {"text": "x" * 2001}], "text"),
        ("chat", [LOBBY | {"text": {"$gt": ""}}], "text"),
    ]
    for event, arguments, field in cases:
        answer = call(client, event, *arguments)
        assert (answer["status"], answer["event"]) == (422, event), arguments
        assert [error["field"] for error in answer["errors"]] == [field], arguments
        assert received(client, "error") == [answer], arguments
        assert client.is_connected(), arguments


def test_an_unknown_event_is_answered(connect: Connect) -> None:
    client = connect()
    answer = call(client, "x" * 1000, {})
    assert answer["status"] == 404
    assert "chat, join, leave" in answer["detail"]
    assert len(answer["event"]) == 50


def test_no_internals_reach_the_client(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("app.socketio.chat.join_room", broken)
    client = connect()
    answer = call(client, "join", LOBBY)
    assert answer["status"] == 500
    assert "hunter2" not in str(answer)
    assert call(client, "leave", LOBBY) == LOBBY


def test_rooms_and_events_of_a_connection_are_bounded(app: Flask, connect: Connect) -> None:
    app.config["SOCKETIO_EVENT_RATE"] = 1000
    client = connect()
    rooms = [{"room": f"room-{number}"} for number in range(MAX_ROOMS + 1)]
    assert [call(client, "join", room) for room in rooms[:-1]] == rooms[:-1]
    assert call(client, "join", rooms[-1])["status"] == 409
    assert call(client, "join", rooms[0]) == rooms[0]
    app.config["SOCKETIO_EVENT_RATE"] = 0.1
    client = connect()
    answers = [call(client, "leave", LOBBY).get("status") for _ in range(3)]
    assert answers[-1] == 429
    assert connect().is_connected()


def test_other_components_reach_a_room(app: Flask, connect: Connect) -> None:
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
