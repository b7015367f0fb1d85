"""WebSockets below Engine.IO: bounded, and with two threads for a connection in the place of four.

Engine.IO and its WebSocket library read ahead without a bound, and keep a thread for reading and
one for the next ping of each connection.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock
from time import monotonic, sleep, time
from typing import Any

from engineio import packet
from engineio.async_drivers._websocket_wsgi import SimpleWebSocketWSGI
from engineio.exceptions import SocketIsClosedError
from wsproto.utilities import ProtocolError

MAX_MESSAGE = 256 * 1024  # bytes
#: What a client sends over a WebSocket: a type of Engine.IO, in messages followed by Socket.IO's.
PACKET = re.compile(r"[12356]|4[0-4]")
#: An event that announces binary attachments.
BINARY_EVENT = re.compile(r"45([1-9])-")
#: Stands for any other, so that it gets an answer; Engine.IO would drop the connection.
MALFORMED = "4?"


class NoThread:
    """In the place of the thread that would read ahead."""

    def __init__(self, target: Callable[[], None]) -> None:
        self.name = ""

    def start(self) -> None:
        pass


class Transport(SimpleWebSocketWSGI):  # type: ignore[misc]  # the library has no types
    """Reads when Engine.IO waits, so that a client can send no faster than it is answered."""

    def __init__(self, handler: object, server: object) -> None:
        super().__init__(handler, server, max_message_size=MAX_MESSAGE, thread_class=NoThread)
        self.attachments = 0  # announced, and not here yet

    def wait(self) -> str | None:
        """The next packet; None where the client is gone."""
        while (message := self.receive()) is not None:
            if isinstance(message, str):
                return self.check(message)
            self.attachments -= 1
            if self.attachments < 0:
                return MALFORMED
        return None

    def check(self, message: str) -> str:
        """The packet, or what stands for it.

        No event takes binary attachments. One that announces some is refused with its placeholders
        in it, by the model of the event; to wait for them would leave it to the client when.
        """
        self.attachments = 0
        if announced := BINARY_EVENT.match(message):
            self.attachments = int(announced[1])
            return "42" + message[announced.end() :]
        return message if PACKET.match(message) else MALFORMED

    def close(self) -> None:
        with suppress(OSError, ProtocolError):  # the client closes at the same time
            super().close()

    def receive(self) -> str | bytes | None:
        while self.ws.connected and not self.ws.input_buffer:
            self.read()
        message: str | bytes | None = super().wait()
        return message

    def read(self) -> None:
        try:
            data = self.ws.sock.recv(self.ws.receive_bytes)
            self.ws.ws.receive_data(data or None)
            self.ws.connected = self.ws._handle_events() and bool(data)
        except (OSError, ProtocolError):
            self.ws.connected = False


class Pinger:
    """Starts Engine.IO's background tasks; those that only wait for a ping share one thread."""

    def __init__(self, engine: Any) -> None:
        self.start_task = engine.start_background_task
        self.interval: float = engine.ping_interval  # seconds; the same for all, so a queue does
        self.queue: SimpleQueue[tuple[float, Any]] = SimpleQueue()
        self.lock = Lock()
        self.runs = False

    def __call__(self, target: Callable[..., None], *args: object, **kwargs: object) -> Any:
        if target.__name__ != "_send_ping":
            return self.start_task(target, *args, **kwargs)
        self.queue.put((monotonic() + self.interval, getattr(target, "__self__", None)))
        with self.lock:
            starts, self.runs = not self.runs, True
        return self.start_task(self.run) if starts else None

    def run(self) -> None:
        while True:
            due, client = self.queue.get()
            sleep(max(0.0, due - monotonic()))
            with suppress(SocketIsClosedError):
                if not client.closing:
                    client.last_ping = time()
                    client.send(packet.Packet(packet.PING))
