"""WSGI middleware that accepts WebSockets, limits their number and ends those that can't stay."""

from collections.abc import Callable, Iterable
from threading import Lock
from time import monotonic
from typing import Any

import structlog
from flask import Flask
from prometheus_client import Gauge
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable
from werkzeug.wrappers import Request

# {% if "jwt" in components and "celery" in components %}
from app.socketio import accounts, jobs
# {% elif "jwt" in components %}
from app.socketio import accounts
# {% elif "celery" in components %}
from app.socketio import jobs
# {% endif %}
from app.socketio.connections import KEY, Connection

PATH = "/socket.io/"
ERROR = "app.socketio.error"  # in the WSGI environment: why a request is no WebSocket
EXPECTED = ("GET", ["4"], ["websocket"])  # of a request: method, EIO and transport
CONNECT_TIMEOUT = 10  # seconds from the WebSocket to the Socket.IO connection
OPEN = Gauge("socketio_connections", "Open connections.", multiprocess_mode="livesum")

WSGIApp = Callable[..., Iterable[bytes]]

log = structlog.stdlib.get_logger(__name__)


class WebSocketMiddleware:
    """Passes WebSockets to Socket.IO and all other requests to Flask."""

    def __init__(self, app: Flask, http: WSGIApp, websockets: WSGIApp) -> None:
        self.app = app
        self.http = http
        self.websockets = websockets
        self.connections: set[Connection] = set()
        self.lock = Lock()
        self.supervised = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return self.http(environ, start_response)
        try:
            connection = self.accept(environ)
        except HTTPException as error:
            environ[ERROR] = error  # the view of this path raises it
            environ.pop("HTTP_UPGRADE", None)  # Flask has no view for WebSockets
            return self.http(environ, start_response)
        structlog.contextvars.clear_contextvars()  # of the thread's last request
        try:
            return self.websockets(environ, start_response)
        finally:
            OPEN.dec()
            self.connections.remove(connection)

    def accept(self, environ: dict[str, Any]) -> Connection:
        """Add a connection.

        Raises:
            werkzeug.exceptions.HTTPException: the response to send instead.
        """
        config = self.app.config
        request = Request(environ, populate_request=False)
        check_handshake(request)
        # Browsers let any page open a WebSocket to any host, so the server has to check.
        own_origin = f"{request.scheme}://{request.host}"
        if request.headers.get("Origin", own_origin) not in {own_origin, *config["CORS_ORIGINS"]}:
            raise Forbidden("Origin not allowed; add it to CORS_ORIGINS.")
        key = "gunicorn.socket" if "gunicorn.socket" in environ else "werkzeug.socket"
        if key not in environ:
            raise ServiceUnavailable("Only the websocket process accepts WebSockets.")
        connection = Connection(config["SOCKETIO_EVENT_RATE"], environ[key])
        with self.lock:
            if len(self.connections) >= config["SOCKETIO_CONNECTIONS"]:
                raise ServiceUnavailable("Too many open connections.", retry_after=5)
            self.connections.add(connection)
            if not self.supervised:
                self.supervised = True
                self.app.extensions["socketio"].start_background_task(self.supervise)
        OPEN.inc()
        environ[KEY] = environ[key] = connection
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # compression takes 90 KB a connection
        return connection

    def supervise(self) -> None:
        """Look at all connections every second."""
        while True:
            self.app.extensions["socketio"].sleep(1)
            try:
                with self.app.app_context():
                    self.end_connections()
                    # {% if "celery" in components %}
                    jobs.poll()
                    # {% endif %}
            except Exception:
                log.exception("supervision failed")

    def end_connections(self) -> None:
        """Drop clients that have left, or that never connected to Socket.IO."""
        connections = list(self.connections)
        too_old = monotonic() - CONNECT_TIMEOUT
        for connection in connections:
            if connection.ended or (connection.sid is None and connection.opened_at < too_old):
                connection.drop()
        # {% if "jwt" in components %}
        accounts.end_sessions([one for one in connections if one.sid and not one.ended])
        # {% endif %}


def check_handshake(request: Request) -> None:
    """Refuse what Engine.IO or the WebSocket library would answer with a failure."""
    args, headers = request.args, request.headers
    if (
        (request.method, args.getlist("EIO"), args.getlist("transport")) != EXPECTED
        or "sid" in args
        or headers.get("Upgrade", "").lower() != "websocket"
        or "upgrade" not in headers.get("Connection", "").lower()
        or headers.get("Sec-WebSocket-Version") != "13"
        or not headers.get("Sec-WebSocket-Key")
    ):
        raise BadRequest("Connect with Socket.IO, protocol version 5, and the websocket transport.")
