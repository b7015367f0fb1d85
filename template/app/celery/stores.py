"""The result store in Redis."""

from typing import Any

from celery.backends.redis import RedisBackend

from app.celery.records import RECORDED


class RedisStore(RedisBackend):  # type: ignore[misc]
    """Celery's own, but that nobody waits for a result over a subscription of his own.

    So a process that submits subscribes to no job, and a result is written in one step.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass

    def _set(self, key: bytes, value: str | bytes, expires: int | None = None) -> None:
        self.client.set(key, value, ex=expires or self.expires)

    def _store_result(
        self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Celery reads what is there, as nothing may follow a success; of a record it is known."""
        if state != RECORDED:
            return super()._store_result(task_id, result, state, *args, **kwargs)
        meta = self._get_result_meta(result=result, state=state, traceback=None, request=None)
        self.set(self.get_key_for_task(task_id), self.encode(meta | {"task_id": task_id}))
        return result
