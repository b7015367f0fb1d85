"""The result store in Redis."""

from typing import Any

from celery.backends.redis import RedisBackend


class RedisStore(RedisBackend):  # type: ignore[misc]
    """Celery's own, but that nobody waits for a result over a subscription of his own.

    So a process that submits subscribes to no job, and a result is written in one step.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass

    def _set(self, key: bytes, value: str | bytes, expires: int | None = None) -> None:
        self.client.set(key, value, ex=expires or self.expires)
