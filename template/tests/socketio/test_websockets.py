"""Real WebSockets, and several applications on one Redis."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any
# {% if "jwt" in components %}
from urllib.request import Request, urlopen
# {% endif %}

import pytest
# {% if "jwt" in components %}
from flask import Flask
# {% endif %}
from websocket import WebSocketConnectionClosedException, WebSocketException, create_connection
from werkzeug.serving import make_server

from app import create_app
# {% if "jwt" in components %}
from app.database import db
from app.jwt import tokens
# {% endif %}
from app.socketio.connections import MAX_UNHANDLED
from app.socketio.events import MALFORMED
from app.socketio.server import Packet
# {% if "jwt" in components %}
from app.users.models import User
# {% endif %}

LOBBY = {"room": "lobby"}
OTHER_SERVICE = "other-service"
Settings = dict[str, object]


def test_malformed_packets_become_an_event() -> None:
    for packet in ("", "x", "2", "2{}", '2["connect"]', '2/other,["join"]', "44", b"", b"x"):
        assert Packet(encoded_packet=packet).data == [MALFORMED], packet
    for packet in ("0", '0{"token":1}', "1", '2["join",{}]', '21["leave",{}]', "30[]"):
        assert Packet(encoded_packet=packet).data != [MALFORMED], packet


# {% if "jwt" in components %}
@pytest.fixture
def shared(settings: Settings, file_app: Flask) -> Settings:
    """What several applications are configured with."""
    return settings | {"DATABASE_URL": file_app.config["DATABASE_URL"]}


@pytest.fixture
def auth(file_app: Flask) -> dict[str, str]:
    """What a client sends to connect."""
    with file_app.app_context():
        account = User(email="ann@example.com", name="Somebody")
        db.session.add(account)
        db.session.commit()
        return {"token": tokens.issue(account).access_token}


@pytest.fixture
def other_auth(
    file_app: Flask, auth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The same for another service, which accepts its own tokens only."""
    monkeypatch.setitem(file_app.config, "JWT_ENCODE_ISSUER", OTHER_SERVICE)
    with file_app.app_context():
        account = db.session.scalars(db.select(User)).one()
        return {"token": tokens.issue(account).access_token}
# {% else %}
@pytest.fixture
def shared(settings: Settings) -> Settings:
    """What several applications are configured with."""
    return settings


@pytest.fixture
def auth() -> dict[str, str]:
    """What a client sends to connect."""
    return {}


@pytest.fixture
def other_auth() -> dict[str, str]:
    """The same for another service."""
    return {}
# {% endif %}


@contextmanager
def serve(settings: Settings, **more: object) -> Iterator[int]:
    """Run an application behind a server; yield its port."""
    app = create_app(settings | more)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        for connection in list(app.extensions["websockets"].connections):
            connection.drop()
        server.shutdown()
        thread.join()
        server.server_close()
        # {% if "jwt" in components %}
        with app.app_context():
            db.engine.dispose()
        # {% endif %}


class Client:
    """Sends and receives packets of Socket.IO, malformed ones too."""

    def __init__(self, port: int, auth: dict[str, str]) -> None:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        self.websocket = create_connection(url, timeout=20)
        assert self.receive().startswith("0{")
        self.websocket.send(f"40{json.dumps(auth)}")
        assert self.receive().startswith("40{")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.websocket.shutdown()

    def receive(self) -> str:
        received: str = self.websocket.recv()
        return received

    def event(self) -> Any:
        """The name of the next event, and what it carries."""
        return json.loads(self.receive().removeprefix("42"))

    def emit(self, event: str, body: dict[str, str]) -> Any:
        """The acknowledgement; events that arrive before it are skipped."""
        self.websocket.send(f"420{json.dumps([event, body])}")
        while not (received := self.receive()).startswith("430"):
            pass
        return json.loads(received.removeprefix("430"))[0]

    def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while self.websocket.connected:
                self.receive()
        except (WebSocketConnectionClosedException, ConnectionError):
            return True
        return not self.websocket.connected


@pytest.mark.integration
def test_processes_share_rooms_but_services_do_not(
    shared: Settings, auth: dict[str, str], other_auth: dict[str, str], redis_url: str
) -> None:
    with (
        serve(shared, REDIS_URL=redis_url) as one,
        serve(shared, REDIS_URL=redis_url) as another,
        serve(shared, REDIS_URL=redis_url, KEY_PREFIX=OTHER_SERVICE) as other_service,
        Client(one, auth) as ann,
        Client(another, auth) as bob,
        Client(other_service, other_auth) as eve,
    ):
        for client in (ann, bob, eve):
            assert client.emit("join", LOBBY) == LOBBY
        sent = ann.emit("chat", LOBBY | {"text": "Hello!"})
        assert bob.event() == ["message", sent]
        eve.websocket.send(f'42["chat",{json.dumps(LOBBY | {"text": "Just me"})}]')
        assert eve.event()[1]["text"] == "Just me"


@pytest.mark.integration
def test_malformed_packets_are_answered(shared: Settings, auth: dict[str, str]) -> None:
    packets = ["4", "42", "42{", "42[]", "42{}", "42[1]", "42[[]]", "42[{}]", "45", "46", "49"]
    packets += ["42" + "[" * 50_000, '42["connect"]', '42["disconnect"]', "42/other,[]"]
    packets += ['452-["join",{"room":{"_placeholder":true,"num":0}}]', '42["join",1,2,3]']
    with serve(shared, SOCKETIO_EVENT_RATE=1000) as port, Client(port, auth) as ann:
        for packet in packets:
            ann.websocket.send(packet)
            name, problem = ann.event()
            assert (name, problem["status"] in {400, 422}) == ("error", True), packet
        for data in (b"", b"x"):
            ann.websocket.send_binary(data)
            assert ann.event()[1]["status"] == 400
        assert ann.emit("join", LOBBY) == LOBBY


@pytest.mark.integration
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_that_sends_too_much_is_dropped(shared: Settings, auth: dict[str, str]) -> None:
    def send_large_message(client: Client) -> None:
        client.websocket.send("4" * (MAX_UNHANDLED + 1))

    def ignore_429(client: Client) -> None:
        while True:
            client.websocket.send('42["leave",{"room":"lobby"}]')

    with serve(shared, SOCKETIO_EVENT_RATE=10) as port, Client(port, auth) as bob:
        for flood in (send_large_message, ignore_429):
            with Client(port, auth) as ann:
                with suppress(OSError, WebSocketException):
                    flood(ann)
                assert ann.is_closed()
        assert bob.emit("join", LOBBY) == LOBBY
# {% if "jwt" in components %}


@pytest.mark.integration
def test_a_logout_ends_the_connections_of_every_process(
    shared: Settings, auth: dict[str, str], redis_url: str
) -> None:
    with (
        serve(shared, REDIS_URL=redis_url) as one,
        serve(shared, REDIS_URL=redis_url) as another,
        Client(one, auth) as ann,
        Client(another, auth) as bob,
    ):
        url = f"http://127.0.0.1:{one}/api/v1/auth/logout"
        headers = {"Authorization": f"Bearer {auth['token']}"}
        urlopen(Request(url, method="POST", headers=headers)).close()
        for client in (ann, bob):
            name, problem = client.event()
            assert (name, problem["detail"]) == ("error", "The token was revoked.")
            assert client.receive() == "41"
            assert client.is_closed()
# {% endif %}
