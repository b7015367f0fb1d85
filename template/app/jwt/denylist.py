"""Revoked tokens, shared by all processes: in Redis if ``REDIS_URL`` is set, else in the database.

Each key expires together with the tokens that it revokes.
"""

# {% if "socketio" in components %}
from collections.abc import Iterable
# {% endif %}
from datetime import datetime
from math import ceil

import structlog
from flask import Flask, Response, current_app
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
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

REDIS_TIMEOUT = 1.0  # seconds

log = structlog.stdlib.get_logger(__name__)


class DatabaseDenylist:
    """Rows of a table; ``purge`` removes the expired ones."""

    def add(self, key: str, expires_at: datetime) -> bool:
        """Add ``key``; False if it was there already. Of concurrent calls one returns True."""
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

    def find(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that were added."""
        return set(db.session.scalars(select(Revocation.key).where(Revocation.key.in_(keys))))
    # {% endif %}

    def purge(self) -> int:
        """Delete expired rows and return their number."""
        expired = delete(Revocation).where(Revocation.expires_at < now()).returning(Revocation.key)
        count = len(db.session.scalars(expired).all())
        db.session.commit()
        return count


class RedisDenylist:
    """Keys with a time to live."""

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = f"{prefix}:revoked:"
        self.redis = Redis.from_url(
            url,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), retries=1),  # once, for connections that Redis has closed
        )

    def add(self, key: str, expires_at: datetime) -> bool:
        """Add ``key``; False if it was there already. Of concurrent calls one returns True."""
        expiry = ceil(expires_at.timestamp())
        return bool(self.redis.set(self.prefix + key, 1, nx=True, exat=expiry))

    def contains(self, key: str) -> bool:
        return bool(self.redis.exists(self.prefix + key))
    # {% if "socketio" in components %}

    def find(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that were added."""
        asked = list(keys)
        values = self.redis.mget([self.prefix + key for key in asked]) if asked else []
        return {key for key, value in zip(asked, values, strict=True) if value is not None}
    # {% endif %}


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    redis = RedisDenylist(url, app.config["KEY_PREFIX"]) if url else None
    app.extensions["denylist"] = redis or DatabaseDenylist()
    app.register_error_handler(RedisError, handle_redis_error)
    # {% if "probes" in components %}
    if redis:
        probes.add_check(app, "redis", redis.redis.ping)
    # {% endif %}


def get_denylist() -> DatabaseDenylist | RedisDenylist:
    denylist: DatabaseDenylist | RedisDenylist = current_app.extensions["denylist"]
    return denylist


def handle_redis_error(error: Exception) -> Response:
    """Reject tokens that cannot be checked."""
    log.error("Redis is unavailable", exc_info=error)
    return unavailable("Tokens cannot be verified at the moment. Try again soon.")
