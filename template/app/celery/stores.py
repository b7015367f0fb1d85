"""The result store in Redis."""

from typing import Any

from celery.backends.redis import RedisBackend


class RedisStore(RedisBackend):  # type: ignore[misc]
    """Celery's own, for those who only submit."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to no job: nobody here waits for one, so nobody would ever unsubscribe."""
