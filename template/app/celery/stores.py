"""Celery's result stores for Redis and for files, each with one change."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from celery.backends.filesystem import FilesystemBackend
from celery.backends.redis import RedisBackend


class RedisStore(RedisBackend):  # type: ignore[misc]
    """Does not subscribe to the result of each job that is submitted.

    Clients poll for results, and a web process would keep every subscription it ever made.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass


class FileStore(FilesystemBackend):  # type: ignore[misc]
    """Replaces a file as a whole, so that no reader sees half of it."""

    def __init__(self, url: str, *args: Any, **kwargs: Any) -> None:
        self.folder = Path(url.removeprefix("file://"))
        self.folder.mkdir(parents=True, exist_ok=True)
        super().__init__(url, *args, **kwargs)

    def set(self, key: bytes, value: str | bytes) -> None:
        part = self.folder / f".{uuid4().hex}"
        part.write_bytes(value.encode() if isinstance(value, str) else value)
        part.replace(self.folder / key.decode())
