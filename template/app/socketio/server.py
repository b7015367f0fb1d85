"""The Socket.IO server of an application, and how a connection begins and ends."""

import re
from collections.abc import Callable
from time import monotonic

import structlog
from flask import Flask, current_app, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
from pydantic_core import to_json
from socketio import packet

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.errors import problem
# {% if "jwt" in components %}
from app.socketio import accounts
# {% endif %}
from app.socketio.connections import KEY, Bucket, Connection, current_connection
# {% if "jwt" in components %}
from app.socketio.events import describe, handlers, unknown
# {% else %}
from app.socketio.events import handlers, unknown
# {% endif %}
from app.socketio.gate import Gate
from app.socketio.queue import RedisQueue
from app.socketio.transport import MAX_MESSAGE, Pinger, Transport

#: An event whose sender waits for its acknowledgement under a number.
ASKING = re.compile(r"2(\d{1,100})(?!\d)")

log = structlog.stdlib.get_logger(__name__)


class Packet(packet.Packet):  # type: ignore[misc]  # the library has no types
    """Refuses events that the library would not answer, or take for its own."""

    def decode(self, encoded_packet: str) -> int:
        attachments: int = super().decode(encoded_packet)
        if self.packet_type == packet.EVENT:
            if self.namespace not in (None, "/"):
                raise ValueError("no such namespace")
            if self.data[0] in ("connect", "disconnect"):
                raise ValueError("no event of a client")
        return attachments


def init_app(app: Flask) -> None:
    plain = app.wsgi_app
    queue = RedisQueue(app.config["REDIS_URL"]) if app.config["REDIS_URL"] else None
    socketio = SocketIO(
        app,
        async_mode="threading",
        async_handlers=False,  # events in their order, and no thread for each of them
        client_manager=queue,
        cors_allowed_origins=[],  # the gate has checked the origin
        manage_session=False,
        max_http_buffer_size=MAX_MESSAGE,
        serializer=Packet,
        transports=["websocket"],  # several processes need no sticky sessions then
    )
    engine = socketio.server.eio
    engine._async = {**engine._async, "websocket": Transport}
    engine.start_background_task = Pinger(engine)
    engine.on("message", answer_malformed(socketio, engine.handlers["message"]))
    socketio.on_event("connect", connect)
    socketio.on_event("disconnect", disconnect)
    for name, handler in handlers.items():
        socketio.on_event(name, handler)
    socketio.on_event("*", unknown)
    app.extensions["socketio_gate"] = gate = Gate(app, plain, app.wsgi_app)
    app.wsgi_app = gate  # type: ignore[method-assign]
    # {% if "probes" in components %}
    if queue:
        probes.add_check(app, "redis", queue.redis.ping)
    # {% endif %}


def connect(auth: object = None) -> None:
    """Accept a connection, or say why not."""
    rate = current_app.config["SOCKETIO_EVENT_RATE"]
    connection = request.environ.setdefault(KEY, Connection(Bucket(rate)))
    if connection.sid is not None or not connection.bucket.take():
        raise Refused("Connect once.")
    # {% if "jwt" in components %}
    try:
        accounts.authenticate(connection, auth)
    except Exception as error:
        document = describe(error)
        raise Refused(document["detail"], document) from None
    # {% endif %}
    connection.sid = request.sid  # type: ignore[attr-defined]
    structlog.contextvars.bind_contextvars(sid=connection.sid)
    log.info("socket connected", remote_addr=request.remote_addr)


def disconnect(*reason: object) -> None:
    connection = current_connection()
    connection.ended = monotonic()
    log.info("socket disconnected", seconds=round(connection.ended - connection.opened, 2))


def answer_malformed(
    socketio: SocketIO, handle: Callable[[str, object], None]
) -> Callable[[str, object], None]:
    """Answer what is no Socket.IO; the library would only log it."""
    document = problem(400, "This is no packet of Socket.IO, protocol version 5.").get_json()
    acknowledgement = to_json([document]).decode()

    def handle_packet(engine_sid: str, packet: object) -> None:
        try:
            handle(engine_sid, packet)
        except Exception as error:
            log.info("malformed packet", error=type(error).__name__)
            sid = socketio.server.manager.sid_from_eio_sid(engine_sid, "/")
            if sid:
                socketio.emit("error", document, to=sid, ignore_queue=True)
                if asking := ASKING.match(str(packet)):
                    socketio.server.eio.send(engine_sid, f"3{asking[1]}{acknowledgement}")

    return handle_packet
