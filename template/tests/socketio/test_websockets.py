"""Real WebSockets, and applications that share a Redis as several processes do."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any
# {% if "jwt" in components %}
from urllib.request import Request, urlopen
# {% endif %}

import pytest
# {% if "jwt" in components %}
from flask import Flask
# {% endif %}
from websocket import WebSocketConnectionClosedException, create_connection
from werkzeug.serving import make_server

from app import create_app
# {% if "jwt" in components %}
from app.database import db
from app.jwt import tokens
from app.jwt.models import Account
# {% endif %}
from app.socketio.transport import MALFORMED, MAX_MESSAGE, Transport

LOBBY = {"room": "lobby"}
Settings = dict[str, object]


def test_packets_are_checked_before_the_library_reads_them() -> None:
    transport = Transport(None, None)
    for packet in ("1", "2", "3", "40", "41", '42["join",{}]', "430[{}]"):
        assert transport.check(packet) == packet
    for packet in ("", "x", "4", "4{", "45", "46", "450-[]", "7", "b4"):
        assert transport.check(packet) == MALFORMED, packet
    assert transport.check('451-0["chat",{}]') == '420["chat",{}]'
    assert transport.attachments == 1


# {% if "jwt" in components %}
@pytest.fixture
def shared(settings: Settings, file_app: Flask) -> Settings:
    """What several applications are configured with."""
    return settings | {"DATABASE_URL": file_app.config["DATABASE_URL"]}


@pytest.fixture
def auth(file_app: Flask) -> dict[str, str]:
    """What a client says of itself."""
    with file_app.app_context():
        account = Account(email="ann@example.com", password_hash="unused")
        db.session.add(account)
        db.session.commit()
        return {"token": tokens.issue(account).access_token}
# {% else %}
@pytest.fixture
def shared(settings: Settings) -> Settings:
    """What several applications are configured with."""
    return settings


@pytest.fixture
def auth() -> dict[str, str]:
    """What a client says of itself."""
    return {}
# {% endif %}


@contextmanager
def serve(settings: Settings, **more: object) -> Iterator[int]:
    """An application behind a server; the port."""
    app = create_app(settings | more)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        app.extensions["socketio_gate"].close()
        server.shutdown()
        thread.join()
        server.server_close()
        # {% if "jwt" in components %}
        with app.app_context():
            db.engine.dispose()
        # {% endif %}


class Socket:
    """A client that speaks the protocol by itself."""

    def __init__(self, port: int, auth: dict[str, str]) -> None:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        self.websocket = create_connection(url, timeout=5)
        opening = self.receive()
        assert opening.startswith("0{")
        assert json.loads(opening[1:])["maxPayload"] == MAX_MESSAGE
        self.websocket.send(f"40{json.dumps(auth)}")
        assert self.receive().startswith("40{")

    def receive(self) -> str:
        received: str = self.websocket.recv()
        return received

    def emit(self, event: str, document: dict[str, str]) -> Any:
        """The acknowledgement; events that come before it are lost."""
        self.websocket.send(f"420{json.dumps([event, document])}")
        while not (received := self.receive()).startswith("430"):
            pass
        return json.loads(received.removeprefix("430"))[0]

    def closes(self) -> bool:
        """Whether the connection ends within the timeout."""
        try:
            while self.websocket.recv():
                pass
        except (WebSocketConnectionClosedException, ConnectionError):
            return True
        return not self.websocket.connected

    def close(self) -> None:
        self.websocket.shutdown()

    def event(self) -> Any:
        """The name of the next event, and what it carries."""
        return json.loads(self.receive().removeprefix("42"))


@pytest.mark.integration
def test_clients_of_two_processes_share_a_room(
    shared: Settings, auth: dict[str, str], redis_url: str
) -> None:
    with (
        serve(shared, REDIS_URL=redis_url) as one,
        serve(shared, REDIS_URL=redis_url) as other,
        closing(Socket(one, auth)) as ann,
        closing(Socket(other, auth)) as bob,
    ):
        assert ann.emit("join", LOBBY) == bob.emit("join", LOBBY) == LOBBY
        said = ann.emit("chat", LOBBY | {"text": "Hello!"})
        assert bob.event() == ["message", said]


# {% if "jwt" not in components %}
@pytest.mark.integration
def test_without_redis_a_process_still_serves_its_own_clients(
    shared: Settings, auth: dict[str, str]
) -> None:
    with serve(shared, REDIS_URL="redis://127.0.0.1:1") as port, closing(Socket(port, auth)) as ann:
        assert ann.emit("join", LOBBY) == LOBBY
        assert ann.emit("chat", LOBBY | {"text": "Hello!"})["text"] == "Hello!"


# {% endif %}
@pytest.mark.integration
def test_what_is_no_packet_is_answered(shared: Settings, auth: dict[str, str]) -> None:
    packets = ["", "x", "7", "4", "49", "42", "42{", "42[]", "42{}", "42[1]", "42[[]]", "42[{}]"]
    packets += ["4" + "[" * 50_000, "42" + "[" * 50_000, '42["connect"]', "45", "46"]
    packets += ['42["disconnect"]', '42/other,["join",{"room":"a"}]', "42/other,"]
    packets += ['452-["join",{"room":{"_placeholder":true,"num":0}}]', '42["join",1,2,3]']
    with serve(shared, SOCKETIO_EVENT_RATE=1000) as port, closing(Socket(port, auth)) as ann:
        for packet in packets:
            ann.websocket.send(packet)
            name, problem = ann.event()
            assert (name, problem["status"] in {400, 404, 422}) == ("error", True), packet
        for packet in ('["connect"]', '["join",{"room":' + "1" * 101 + "}]", "{"):
            ann.websocket.send(f"427{packet}")
            assert ann.event()[1]["status"] == 400, packet
            assert json.loads(ann.receive().removeprefix("437"))[0]["status"] == 400, packet
        ann.websocket.send_binary(b"x")
        assert ann.event()[1]["status"] == 400
        assert ann.emit("join", LOBBY) == LOBBY


@pytest.mark.integration
def test_too_large_a_message_ends_the_connection(shared: Settings, auth: dict[str, str]) -> None:
    with serve(shared) as port, closing(Socket(port, auth)) as bob:
        with closing(Socket(port, auth)) as ann:
            ann.websocket.send("4" * (MAX_MESSAGE + 1))
            assert ann.closes()
        assert bob.emit("join", LOBBY) == LOBBY
# {% if "jwt" in components %}


@pytest.mark.integration
def test_a_logout_in_one_process_ends_connections_in_all(
    shared: Settings, auth: dict[str, str], redis_url: str
) -> None:
    with (
        serve(shared, REDIS_URL=redis_url) as one,
        serve(shared, REDIS_URL=redis_url) as other,
        closing(Socket(one, auth)) as ann,
        closing(Socket(other, auth)) as bob,
    ):
        url = f"http://127.0.0.1:{one}/api/v1/auth/logout"
        headers = {"Authorization": f"Bearer {auth['token']}"}
        urlopen(Request(url, method="POST", headers=headers)).close()
        for client in (ann, bob):
            name, problem = client.event()
            assert (name, problem["detail"]) == ("error", "The token was revoked.")
            assert client.receive() == "41"
            assert client.closes()
# {% endif %}
