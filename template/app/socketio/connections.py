"""The open connections of this process."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from threading import Lock
from time import monotonic
from typing import Any

from flask import request
from prometheus_client import Gauge

KEY = "app.socketio.connection"  # in the WSGI environment of the handshake, which its events share
OPEN = Gauge("socketio_connections", "Open connections.", multiprocess_mode="livesum")


class Bucket:
    """A token bucket: ``rate`` events a second, and twice as many at once after a rest."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.tokens = self.size = max(1.0, 2 * rate)
        self.filled = monotonic()

    def take(self) -> bool:
        """Whether one more event is within the rate."""
        now = monotonic()
        self.tokens = min(self.size, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(eq=False)
class Connection:
    """A client; its events are handled one after the other, in the thread of the connection."""

    bucket: Bucket
    raw: socket | None = None  # the server's; a test in the same process has none
    opened: float = field(default_factory=monotonic)
    ended: float | None = None
    sid: str | None = None  # since Socket.IO has accepted it
    rooms: set[str] = field(default_factory=set)
    # {% if "celery" in components and "jwt" not in components %}
    watched: set[str] = field(default_factory=set)  # ids of jobs
    # {% endif %}
    # {% if "jwt" in components %}
    account_id: int | None = None
    family: str = ""
    expires_at: float = 0.0  # seconds since 1970
    # {% endif %}

    def cut(self) -> None:
        """End its threads, whatever the client does or does not."""
        if self.raw is not None:
            with suppress(OSError):  # it is gone already
                self.raw.shutdown(SHUT_RDWR)


class Connections:
    """All of them; they come and go in threads of their own."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = Lock()
        self.members: set[Connection] = set()

    def __len__(self) -> int:
        return len(self.members)

    def add(self, connection: Connection) -> bool:
        """Add one; False where there are as many as may be."""
        with self.lock:
            if len(self.members) >= self.limit:
                return False
            self.members.add(connection)
        OPEN.inc()
        return True

    def remove(self, connection: Connection) -> None:
        with self.lock:
            self.members.remove(connection)
        OPEN.dec()

    def snapshot(self) -> list[Connection]:
        with self.lock:
            return list(self.members)


def raw_socket(environ: Mapping[str, Any]) -> socket | None:
    """What a server hands over for a WebSocket; not every server does."""
    found: socket | None = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return found


def current_connection() -> Connection:
    """The connection whose event is handled."""
    connection: Connection = request.environ[KEY]
    return connection
