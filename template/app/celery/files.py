"""The embedded broker and result store: files below ``JOB_DIR``, for one machine.

A message is in ``queue/`` until a worker takes it, then in ``delivered/`` until it is acknowledged.
"""

import os
from contextlib import suppress
from pathlib import Path
from time import time, time_ns
from typing import Any
from uuid import uuid4

from celery.backends.filesystem import FilesystemBackend
from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that no reader ever sees in part."""
    part = path.with_name(f".{uuid4().hex}")
    part.write_bytes(content)
    part.replace(path)


def tag_of(file: Path) -> str:
    """The delivery tag of the message in a file, as ``Channel._put`` names it."""
    return file.name.partition("_")[2].partition(".")[0]


class FileStore(FilesystemBackend):  # type: ignore[misc]
    """Results, each a file that is replaced as a whole."""

    def __init__(self, url: str, *args: Any, **kwargs: Any) -> None:
        Path(self._find_path(url)).mkdir(parents=True, exist_ok=True)
        super().__init__(url, *args, **kwargs)

    def set(self, key: bytes, value: str | bytes) -> None:
        content = value.encode() if isinstance(value, str) else value
        write_whole(Path(os.fsdecode(self._filename(key))), content)

    def get(self, key: bytes) -> bytes | None:
        """None also for what has expired: it is deleted only once an hour."""
        file = Path(os.fsdecode(self._filename(key)))
        with suppress(FileNotFoundError):
            if file.stat().st_mtime > time() - self.expires:
                return file.read_bytes()
        return None

    def delete(self, key: bytes) -> None:
        with suppress(FileNotFoundError):
            super().delete(key)


class QoS(virtual.QoS):  # type: ignore[misc]
    """What was delivered is kept until it is acknowledged."""

    def ack(self, delivery_tag: str) -> None:
        super().ack(delivery_tag)
        self.channel.forget(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        super().reject(delivery_tag, requeue)
        self.channel.forget(delivery_tag)


class Channel(filesystem.Channel):  # type: ignore[misc]
    """Kombu's, but a message is seen whole or not at all, and outlives the worker that took it."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Path(self.data_folder_in)
        self.delivered = Path(self.processed_folder)
        for folder in (self.queue, self.delivered, self.control_folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        """File names sort by time, and say which message it is and in which queue."""
        tag = payload["properties"]["delivery_tag"]
        write_whole(self.queue / f"{time_ns()}_{tag}.{queue}.msg", dumps(payload).encode())

    def _queue_bind(self, exchange: str, *args: Any) -> None:
        """Make the table of an exchange as a whole; several processes may start at once."""
        table = self._exchange_file(exchange)
        if not table.exists():
            write_whole(part := table.with_name(f".{uuid4().hex}"), b"[]")
            with suppress(FileExistsError):
                os.link(part, table)
            part.unlink()
        super()._queue_bind(exchange, *args)

    def renew(self, tags: list[str]) -> None:
        """Keep what is worked on here; put back into the queue what nobody keeps any more."""
        timeout = self.connection.client.transport_options["visibility_timeout"]
        for file in self.delivered.iterdir():
            with suppress(FileNotFoundError):  # another worker was faster
                if tag_of(file) in tags:
                    os.utime(file)
                    continue
                # The time of the last change of its inode: renewed, or else moved to where it is.
                if file.stat().st_ctime < time() - timeout:
                    self.give_back(file)

    def give_back(self, file: Path) -> None:
        """Messages between workers are no use any more."""
        if ".pidbox." in file.name or ".reply." in file.name:
            file.unlink()
        else:
            file.rename(self.queue / file.name)

    def forget(self, tag: str) -> None:
        for file in self.delivered.glob(f"*_{tag}.*"):
            file.unlink(missing_ok=True)


class Transport(filesystem.Transport):  # type: ignore[misc]
    """``filesystem://``."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.state = virtual.BrokerState()  # what is declared in one folder is not in another
