"""Who may connect, when a connection ends, and the page."""

import re
from socket import socketpair
from time import monotonic
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_socketio import ConnectionRefusedError as Refused
from prometheus_client import REGISTRY

from app import create_app
from app.errors import PROBLEM_JSON
from app.socketio.connections import KEY, Bucket, Connection
from app.socketio.gate import TIME_TO_CONNECT, Gate
from app.socketio.server import connect

URL = "/socket.io/?EIO=4&transport=websocket"
HANDSHAKE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


def measured() -> float | None:
    return REGISTRY.get_sample_value("socketio_connections")


def gate_of(app: Flask) -> Gate:
    gate: Gate = app.extensions["socketio_gate"]
    return gate


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/socket.io/", {}),
        ("/socket.io", {}),
        ("/socket.io/?EIO=4&transport=polling", {}),
        ("/socket.io/?EIO=3&transport=websocket", HANDSHAKE),
        (URL + "&sid=x", HANDSHAKE),
        (URL, HANDSHAKE | {"Upgrade": "h2c"}),
        (URL, HANDSHAKE | {"Sec-WebSocket-Version": "8"}),
    ],
)
def test_only_websockets_of_the_current_protocol_are_taken(
    anonymous: FlaskClient, url: str, headers: dict[str, str]
) -> None:
    response = anonymous.get(url, headers=headers)
    assert (response.status_code, response.mimetype) == (400, PROBLEM_JSON)
    assert anonymous.post(url, headers=headers).status_code == 405


def test_pages_of_other_origins_may_not_connect(app: Flask, anonymous: FlaskClient) -> None:
    app.config["CORS_ORIGINS"] = ["https://app.example.com"]

    def status(origin: str) -> int:
        return anonymous.get(URL, headers=HANDSHAKE | {"Origin": origin}).status_code

    for origin in ("https://evil.example.com", "https://localhost", "http://localhost:1", "null"):
        assert status(origin) == 403, origin
    for origin in ("http://localhost", "https://app.example.com"):
        assert status(origin) == 503, origin  # past the check; a test has no socket to hand over


def test_behind_a_proxy_the_origin_is_the_public_one(settings: dict[str, object]) -> None:
    client = create_app(settings | {"PROXY_HOPS": 1}).test_client()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
    headers |= HANDSHAKE | {"Origin": "https://a.example"}
    assert client.get(URL, headers=headers).status_code == 503


def test_connections_are_bounded_and_counted(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, during = gate_of(app), []

    def hold(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        during.append((len(gate.connections), measured()))
        assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in environ
        assert environ["PATH_INFO"] == "/socket.io/"
        start_response("200 OK", [])
        return []

    monkeypatch.setattr(gate, "sockets", hold)
    monkeypatch.setattr(gate, "sweeps", True)
    ours, theirs = socketpair()
    with ours, theirs:
        environ = {"gunicorn.socket": ours}
        headers = HANDSHAKE | {"Sec-WebSocket-Extensions": "permessage-deflate"}
        for url in (URL, URL.replace("/?", "?")):
            assert anonymous.get(url, headers=headers, environ_base=environ).status_code == 200
        assert during == [(1, 1)] * 2
        assert (len(gate.connections), measured()) == (0, 0)
        monkeypatch.setattr(gate.connections, "limit", 1)
        gate.connections.add(one := Connection(Bucket(1)))
        full = anonymous.get(URL, headers=headers, environ_base=environ)
        assert (full.status_code, full.headers["Retry-After"]) == (503, "5")
        gate.connections.remove(one)
        monkeypatch.setattr(gate, "closing", True)
        assert anonymous.get(URL, headers=headers, environ_base=environ).status_code == 503
        monkeypatch.setattr(gate.connections, "limit", 0)
        none = anonymous.get(URL, headers=headers, environ_base=environ)
        assert (none.status_code, "Retry-After" in none.headers) == (503, False)
    assert len(during) == 2


def test_who_connects_no_further_is_cut_off(app: Flask) -> None:
    gate = gate_of(app)
    ours, theirs = socketpair()
    with ours, theirs, app.app_context():
        theirs.setblocking(False)
        connection = Connection(Bucket(1), ours)
        gate.connections.add(connection)
        gate.sweep()
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        connection.opened = monotonic() - TIME_TO_CONNECT - 1
        gate.sweep()
        assert theirs.recv(1) == b""
        gate.connections.remove(connection)


def test_who_does_not_leave_is_cut_off(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = gate_of(app)
    monkeypatch.setattr(gate, "closing", False)
    monkeypatch.setattr("app.socketio.gate.TIME_TO_LEAVE", 0)
    for end in (gate.sweep, gate.close):
        ours, theirs = socketpair()
        with ours, theirs, app.app_context():
            theirs.settimeout(5)
            connection = Connection(Bucket(1), ours, sid="a", ended=monotonic() - 1)
            gate.connections.add(connection)
            end()
            assert theirs.recv(1) == b"", end
            gate.connections.remove(connection)
    assert gate.closing


@pytest.mark.parametrize("why", ["is there", "comes too often"])
def test_who_connects_in_a_connection_is_refused(app: Flask, why: str) -> None:
    connection = Connection(Bucket(1))
    if why == "is there":
        connection.sid = "a"
    else:
        connection.bucket.tokens = 0
    request = app.test_request_context(environ_overrides={KEY: connection})
    with request, pytest.raises(Refused, match="Connect once"):
        connect()


def test_a_bucket_fills_again() -> None:
    bucket = Bucket(10)
    assert [bucket.take() for _ in range(21)] == [True] * 20 + [False]
    bucket.filled -= 0.1
    assert (bucket.take(), bucket.take()) == (True, False)


def test_the_page_loads_nothing_from_elsewhere(app: Flask, anonymous: FlaskClient) -> None:
    app.config["SOCKETIO_URL"] = "https://live.example.com"
    page = anonymous.get("/chat")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self' wss://live.example.com" in policy
    assert 'data-url="https://live.example.com"' in page.text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 2
    for path in [*loaded, "/chat/chat.js", "/chat/socket.js"]:
        with anonymous.get(path) as response:
            assert response.status_code == 200, path
            assert not re.search(r"^(?! *//).*://", response.get_data(as_text=True), re.M), path
    for path in ("/chat/nothing.js", "/chat/chat.html"):
        assert anonymous.get(path).status_code == 404, path
