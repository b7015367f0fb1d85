"""The result store in Redis."""

from functools import cached_property
from typing import Any

from celery.backends.redis import RedisBackend
from pydantic_core import to_json

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
        self.set(self.get_key_for_task(task_id), meta_of(task_id, result))
        return result

    @cached_property
    def has_queue(self) -> bool:
        """Whether this Redis is the broker too."""
        return bool(self.app.conf.result_backend == self.app.conf.broker_write_url)

    def push(self, queue: str, message: bytes, task_id: str, result: Any) -> None:
        """Store a record and put a message into a queue, in this order and one round trip.

        Raises:
            redis.exceptions.RedisError: the message is not in the queue, or nobody knows.
        """
        pool = self.client.connection_pool
        record = ("SET", self.get_key_for_task(task_id), meta_of(task_id, result))
        commands = [(*record, "EX", self.expires), ("LPUSH", queue, message)]
        connection = pool.get_connection()
        try:  # a pipeline does the same with twice the work
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            connection.disconnect()  # a reply may be left in it
            raise
        finally:
            pool.release(connection)


def meta_of(task_id: str, result: Any) -> bytes:
    """How Celery keeps a result, as far as a record needs it."""
    return to_json({"task_id": task_id, "status": RECORDED, "result": result})
