"""What is revoked before it expires, seen by every process and kept over a restart.

Redis keeps it where ``REDIS_URL`` is set, else the database. A family is all tokens that descend
from one login.
"""

# {% if "socketio" in components %}
from collections.abc import Iterable
# {% endif %}
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

from flask import Flask, Response, current_app
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
# {% if "socketio" in components %}
from sqlalchemy import delete, select
# {% else %}
from sqlalchemy import delete
# {% endif %}
from sqlalchemy.exc import IntegrityError

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.database import db, now
from app.errors import unavailable
from app.jwt.models import Revocation

#: Seconds that Redis may take to answer.
TIMEOUT = 1.0
#: Seconds for which nobody tries again what has just failed.
PAUSE = 1.0


class Denylist(Protocol):
    """A set of keys that each vanish by themselves at a time."""

    def add(self, key: str, expires_at: datetime) -> bool:
        """Add ``key``; False where it was there already. Of concurrent calls one gets True."""

    def contains(self, key: str) -> bool:
        """Whether ``key`` was added."""
    # {% if "socketio" in components %}

    def which(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that were added."""
    # {% endif %}


class DatabaseDenylist:
    """Rows of a table; ``purge`` removes the expired ones."""

    def add(self, key: str, expires_at: datetime) -> bool:
        db.session.add(Revocation(key=key, expires_at=expires_at))
        try:
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            return False
        return True

    def contains(self, key: str) -> bool:
        return db.session.get(Revocation, key) is not None
    # {% if "socketio" in components %}

    def which(self, keys: Iterable[str]) -> set[str]:
        return set(db.session.scalars(select(Revocation.key).where(Revocation.key.in_(keys))))
    # {% endif %}

    def purge(self) -> int:
        """Delete what has expired; how many rows that were."""
        result = db.session.execute(delete(Revocation).where(Revocation.expires_at < now()))
        db.session.commit()
        return int(getattr(result, "rowcount", 0))


class ImpatientRedis(Redis):
    """Right after a failure, nobody else waits for the same time-out: it fails at once."""

    failed = 0.0  # when

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if monotonic() - self.failed < PAUSE:
            raise RedisConnectionError("Redis did not answer a moment ago.")
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisConnectionError, RedisTimeoutError):
            self.failed = monotonic()
            raise


class RedisDenylist:
    """Keys with a time to live."""

    def __init__(self, url: str) -> None:
        self.redis = ImpatientRedis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )

    def add(self, key: str, expires_at: datetime) -> bool:
        return bool(self.redis.set(f"revoked:{key}", 1, nx=True, exat=int(expires_at.timestamp())))

    def contains(self, key: str) -> bool:
        return bool(self.redis.exists(f"revoked:{key}"))
    # {% if "socketio" in components %}

    def which(self, keys: Iterable[str]) -> set[str]:
        asked = list(keys)
        found = self.redis.mget([f"revoked:{key}" for key in asked]) if asked else []
        return {key for key, value in zip(asked, found, strict=True) if value is not None}
    # {% endif %}


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    app.extensions["denylist"] = RedisDenylist(url) if url else DatabaseDenylist()
    app.register_error_handler(RedisError, handle_redis_down)
    # {% if "probes" in components %}
    if url:
        probes.add_check(app, "redis", app.extensions["denylist"].redis.ping)
    # {% endif %}


def get_denylist() -> Denylist:
    denylist: Denylist = current_app.extensions["denylist"]
    return denylist


def handle_redis_down(error: Exception) -> Response:
    """Closed, not open: what may be revoked is not accepted."""
    current_app.logger.error("Redis does not answer", exc_info=error)
    return unavailable("Tokens cannot be checked right now. Try again soon.")
