"""Open connections: what each may send, and when it is dropped."""

import socket
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

from flask import request
from werkzeug.exceptions import TooManyRequests

KEY = "app.socketio.connection"  # in the WSGI environment, which all events of a connection share
MAX_UNHANDLED = 512 * 1024  # bytes received since the last event
SEND_TIMEOUT = 30  # seconds until a client that doesn't read is dropped


class Connection:
    """One client. The WebSocket library uses it as if it were the socket.

    Args:
        rate: events a second that the client may send, with bursts of twice as many.
        sock: the server's socket; Flask-SocketIO's test client has none.
    """

    def __init__(self, rate: float, sock: Any = None) -> None:
        self.sock = sock
        self.opened_at = self.counted_at = monotonic()
        self.rate = rate
        self.tokens = self.burst = max(1.0, 2 * rate)  # a token bucket
        self.unhandled = 0
        self.sid: str | None = None  # set when Socket.IO has accepted it
        self.ended = False  # disconnected from Socket.IO
        self.dropped = False
        self.rooms: set[str] = set()
        # {% if "jwt" in components %}
        self.account_id: int | None = None
        self.family = ""  # of its access token
        self.expires_at = 0.0  # when that token expires, in seconds since 1970
        # {% endif %}
        if sock and sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT * 1000)

    def count_event(self) -> None:
        """Count an event against the rate. A client that keeps sending regardless is dropped.

        Raises:
            werkzeug.exceptions.TooManyRequests: it is one too many.
        """
        self.unhandled = 0
        now = monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.counted_at) * self.rate) - 1
        self.counted_at = now
        if self.tokens < -self.burst:
            self.drop()
        if self.tokens < 0:
            raise TooManyRequests("Too many events. Slow down.")

    def drop(self) -> None:
        """Shut the socket down; the threads that use it end."""
        self.dropped = True
        if self.sock:
            with suppress(OSError):  # it is closed already
                self.sock.shutdown(socket.SHUT_RDWR)

    def recv(self, size: int) -> bytes:
        """Drop a client whose bytes, which are kept in memory, don't become an event."""
        data: bytes = self.sock.recv(size)
        self.unhandled += len(data)
        if self.unhandled > MAX_UNHANDLED:
            self.drop()
            return b""
        return data

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # reading fails too then, and that ends the connection
            self.sock.sendall(data)

    def close(self) -> None:
        self.sock.close()


def current_connection() -> Connection:
    """The connection whose event is being handled."""
    connection: Connection = request.environ[KEY]
    return connection
