"""Revoked tokens, shared by all processes: in Redis or, without ``REDIS_URL``, in the database."""

from collections.abc import Collection
from datetime import timedelta
from math import ceil

import structlog
from flask import Flask, Response, current_app
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.database import db, now
from app.errors import unavailable
from app.jwt.models import Revocation

REDIS_TIMEOUT = 1.0  # seconds

log = structlog.stdlib.get_logger(__name__)


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    app.extensions["denylist"] = connect(url) if url else None
    app.register_error_handler(RedisError, handle_redis_error)
    # {% if "probes" in components %}
    if url:
        probes.add_check(app, "redis", app.extensions["denylist"].ping)
    # {% endif %}


def connect(url: str) -> Redis:
    retry = Retry(NoBackoff(), retries=1)  # once, for connections that Redis has closed
    return Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, retry=retry
    )


def redis_key(key: str) -> str:
    return f"{current_app.config['KEY_PREFIX']}:revoked:{key}"


def add(key: str) -> bool:
    """Add ``key`` until all tokens that exist now have expired.

    Returns False if it was there already. Of concurrent calls one returns True.
    """
    config = current_app.config
    longest = max(config["JWT_ACCESS_TOKEN_EXPIRES"], config["JWT_REFRESH_TOKEN_EXPIRES"])
    expires_at = now() + longest + timedelta(seconds=config["JWT_DECODE_LEEWAY"])
    redis: Redis | None = current_app.extensions["denylist"]
    if redis:
        return bool(redis.set(redis_key(key), 1, nx=True, exat=ceil(expires_at.timestamp())))
    db.session.add(Revocation(key=key, expires_at=expires_at))
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return False
    return True


def find(keys: Collection[str]) -> set[str]:
    """Return those of the keys that were added."""
    redis: Redis | None = current_app.extensions["denylist"]
    if redis:
        values = redis.mget([redis_key(key) for key in keys])
        return {key for key, value in zip(keys, values, strict=True) if value}
    return set(db.session.scalars(select(Revocation.key).where(Revocation.key.in_(keys))))


def purge() -> int:
    """Delete expired keys from the database and return their number."""
    expired = delete(Revocation).where(Revocation.expires_at < now()).returning(Revocation.key)
    count = len(db.session.scalars(expired).all())
    db.session.commit()
    return count


def handle_redis_error(error: Exception) -> Response:
    """Reject tokens that cannot be checked."""
    log.error("Redis is unavailable", exc_info=error)
    return unavailable("Tokens cannot be verified at the moment. Try again soon.")
