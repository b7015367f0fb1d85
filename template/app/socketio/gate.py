"""What stands before Socket.IO: who may open a connection, and when one is ended for good."""

from collections.abc import Iterable
# {% if "jwt" in components %}
from contextlib import suppress
# {% endif %}
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs

import structlog
# {% if "jwt" in components %}
from engineio.exceptions import SocketIsClosedError
# {% endif %}
from flask import Flask
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable

# {% if "jwt" in components %}
from app.errors import problem
from app.socketio import accounts
# {% endif %}
from app.socketio.connections import KEY, Bucket, Connection, Connections, raw_socket

PATH = "/socket.io/"
REFUSAL = "app.socketio.refusal"
SWEEP = 1  # seconds
TIME_TO_CONNECT = 10  # seconds from the WebSocket to the Socket.IO connection
TIME_TO_LEAVE = 2  # seconds for the last messages to go out

log = structlog.stdlib.get_logger(__name__)


class Gate:
    """WSGI middleware: hands WebSockets to Socket.IO, and all else to the application."""

    def __init__(self, app: Flask, plain: Any, sockets: Any) -> None:
        self.app = app
        self.plain = plain
        self.sockets = sockets
        self.connections = Connections(app.config["SOCKETIO_CONNECTIONS"])
        self.lock = Lock()
        self.sweeps = False
        self.closing = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") not in (PATH, PATH.rstrip("/")):
            response: Iterable[bytes] = self.plain(environ, start_response)
            return response
        environ["PATH_INFO"] = PATH
        connection = Connection(Bucket(self.app.config["SOCKETIO_EVENT_RATE"]), raw_socket(environ))
        try:
            self.admit(environ, connection)
        except HTTPException as error:
            environ[REFUSAL] = error  # which the view of this path raises
            environ.pop("HTTP_UPGRADE", None)  # or else no view would match
            response = self.plain(environ, start_response)
            return response
        environ[KEY] = connection
        structlog.contextvars.clear_contextvars()  # of the last request of this thread
        try:
            response = self.sockets(environ, start_response)
            return response
        finally:
            self.connections.remove(connection)

    def admit(self, environ: dict[str, Any], connection: Connection) -> None:
        """Let a connection in, or raise what its HTTP request is answered with."""
        check_handshake(environ)
        self.check_origin(environ)
        if connection.raw is None or not self.connections.limit:
            raise ServiceUnavailable(
                "This process takes no WebSockets; the process type websocket does."
            )
        if self.closing or not self.connections.add(connection):
            raise ServiceUnavailable("Too many connections are open.", retry_after=5)
        # Compression would take 300 KB for each connection.
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        self.start_sweeping()

    def check_origin(self, environ: dict[str, Any]) -> None:
        """Browsers let any page open a WebSocket to any host, so the host has to check."""
        origin = environ.get("HTTP_ORIGIN")
        own = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST')}"
        if origin not in (None, own, *self.app.config["CORS_ORIGINS"]):
            raise Forbidden("Pages of this origin may not connect: CORS_ORIGINS does not list it.")

    def start_sweeping(self) -> None:
        """In this process: a thread does not survive a fork."""
        with self.lock:
            starts, self.sweeps = not self.sweeps, True
        if starts:
            Thread(target=self.sweep_for_ever, name="socketio-sweep", daemon=True).start()

    def sweep_for_ever(self) -> None:
        while True:
            sleep(SWEEP)
            try:
                with self.app.app_context():
                    self.sweep()
            except Exception:
                log.exception("connections could not be checked")

    def sweep(self) -> None:
        """End the connections that have no right to be there any more."""
        members, now = self.connections.snapshot(), monotonic()
        for connection in members:
            late = connection.sid is None and now - connection.opened > TIME_TO_CONNECT
            gone = connection.ended is not None and now - connection.ended > TIME_TO_LEAVE
            if late or gone:
                connection.cut()
        # {% if "jwt" in components %}
        accepted = [one for one in members if one.sid and one.ended is None]
        for connection, detail in accounts.over(accepted):
            self.end(connection, detail)
        # {% endif %}
    # {% if "jwt" in components %}

    def end(self, connection: Connection, detail: str) -> None:
        """Tell a client why it is disconnected, and disconnect it."""
        connection.ended = monotonic()
        socketio = self.app.extensions["socketio"]
        document = problem(401, detail).get_json()
        with suppress(SocketIsClosedError):  # it has just left by itself
            socketio.emit("error", document, to=connection.sid, ignore_queue=True)
            socketio.server.disconnect(connection.sid, ignore_queue=True)
    # {% endif %}

    def close(self) -> None:
        """End all connections, so that the process can end. Clients connect again, elsewhere."""
        self.closing = True
        for client in list(self.app.extensions["socketio"].server.eio.sockets.values()):
            client.close(wait=False)
        deadline = monotonic() + TIME_TO_LEAVE
        while len(self.connections) and monotonic() < deadline:
            sleep(0.05)
        for connection in self.connections.snapshot():
            connection.cut()


def check_handshake(environ: dict[str, Any]) -> None:
    """Only what Engine.IO and the WebSocket library answer with a connection."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    asked = {name: query.get(name) for name in ("EIO", "transport", "sid", "j")}
    tokens = {token.strip().lower() for token in environ.get("HTTP_CONNECTION", "").split(",")}
    if not (
        asked == {"EIO": ["4"], "transport": ["websocket"], "sid": None, "j": None}
        and environ["REQUEST_METHOD"] == "GET"
        and "upgrade" in tokens
        and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == "13"
        and environ.get("HTTP_SEC_WEBSOCKET_KEY")
    ):
        raise BadRequest(
            "Connect with a Socket.IO client, protocol version 5, and the transport websocket."
        )
