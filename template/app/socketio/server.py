"""The Socket.IO server of an application, and how clients connect and disconnect."""

from contextlib import suppress
from time import monotonic
from typing import Any

import structlog
from flask import Flask, current_app, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
# {% if "probes" in components and "jwt" not in components %}
from redis import Redis
# {% endif %}
from redis.backoff import NoBackoff
from redis.retry import Retry
from socketio import RedisManager, packet
from werkzeug.exceptions import Conflict

# {% if "probes" in components and "jwt" not in components %}
from app import probes
# {% endif %}
# {% if "jwt" in components %}
from app.socketio import accounts
# {% endif %}
from app.socketio.connections import KEY, Connection, current_connection
from app.socketio.events import MALFORMED, answer_unknown, describe, handlers
from app.socketio.middleware import WebSocketMiddleware

MAX_MESSAGE = 256 * 1024  # bytes
RESERVED = {"connect", "disconnect"}  # events of the library itself
REDIS_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 0)}

log = structlog.stdlib.get_logger(__name__)


class Packet(packet.Packet):  # type: ignore[misc]  # the library has no types
    """Turns what the library would drop, or take for an event of its own, into ``MALFORMED``."""

    packet_type: Any
    namespace: Any
    data: Any

    def __init__(self, *args: Any, encoded_packet: Any = None, **options: Any) -> None:
        if encoded_packet in ("", b""):  # which the library would not decode
            encoded_packet = "?"
        super().__init__(*args, encoded_packet=encoded_packet, **options)

    def decode(self, encoded_packet: str) -> int:
        with suppress(ValueError, RecursionError):
            super().decode(encoded_packet)
            match self.packet_type, self.namespace, self.data:
                case packet.CONNECT | packet.DISCONNECT | packet.ACK, _, _:
                    return 0
                case packet.EVENT, None | "/", [str(name), *_] if name not in RESERVED:
                    return 0
        self.packet_type, self.namespace, self.data = packet.EVENT, None, [MALFORMED]
        return 0  # binary attachments, which no event has


def init_app(app: Flask) -> None:
    http = app.wsgi_app
    socketio = SocketIO(
        app,
        async_mode="threading",
        async_handlers=False,  # events are handled in their order, in the connection's thread
        client_manager=redis_manager(app),
        cors_allowed_origins=[],  # the middleware checks the origin
        manage_session=False,
        max_http_buffer_size=MAX_MESSAGE,
        serializer=Packet,
        transports=["websocket"],  # so that several processes need no sticky sessions
    )
    socketio.on_event("connect", connect)
    socketio.on_event("disconnect", disconnect)
    for name, handler in handlers.items():
        socketio.on_event(name, handler)
    socketio.on_event("*", answer_unknown)
    middleware = WebSocketMiddleware(app, http, app.wsgi_app)
    app.extensions["websockets"] = app.wsgi_app = middleware  # type: ignore[method-assign]


def redis_manager(app: Flask) -> RedisManager | None:
    """Passes messages between processes."""
    if not (url := app.config["REDIS_URL"]):
        return None
    # {% if "probes" in components and "jwt" not in components %}
    probes.add_check(app, "redis", Redis.from_url(url, **REDIS_OPTIONS).ping)
    # {% endif %}
    channel = f"{app.config['KEY_PREFIX']}:socketio"
    return RedisManager(url, channel, redis_options=REDIS_OPTIONS)


def connect(auth: object = None) -> None:
    """Accept a client, or refuse it with the reason."""
    rate = current_app.config["SOCKETIO_EVENT_RATE"]
    connection = request.environ.setdefault(KEY, Connection(rate))
    try:
        connection.count_event()
        if connection.sid:
            raise Conflict("Already connected.")
        # {% if "jwt" in components %}
        accounts.authenticate(connection, auth)
        # {% endif %}
    except Exception as error:
        document = describe(error)
        raise Refused(document["detail"], document) from None
    connection.sid = request.sid  # type: ignore[attr-defined]
    structlog.contextvars.bind_contextvars(sid=connection.sid)
    log.info("socket connected", remote_addr=request.remote_addr)


def disconnect(reason: str) -> None:
    connection = current_connection()
    connection.ended = True  # the client may leave its WebSocket open
    seconds = round(monotonic() - connection.opened_at, 2)
    log.info("socket disconnected", reason=reason, seconds=seconds)
