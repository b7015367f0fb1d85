"""File storage: the interface, a folder that implements it, and downloads."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote
from uuid import uuid4

from flask import Response, current_app, request
from pydantic import BaseModel
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import parse_date, quote_header_value

from app.errors import unavailable

CHUNK = 64 * 1024  # bytes
MAX_FILENAME = 255  # characters
SUFFIX_RANGE = re.compile(r"bytes=-(\d{1,20})")


class FileInfo(BaseModel):
    """The description of a stored file. ``size`` is in bytes; ``metadata`` is ASCII text."""

    filename: str
    content_type: str
    size: int
    etag: str
    modified: datetime
    metadata: dict[str, str] = {}


class Storage(Protocol):
    """Stores files by key. Keys are made by this service, never by clients.

    Every method raises ``OSError`` if the storage fails.
    """

    def save(
        self, key: str, stream: IO[bytes], filename: str, content_type: str, **metadata: str
    ) -> None:
        """Store a stream, completely or not at all."""

    def info(self, key: str) -> FileInfo | None:
        """Return the description of a file, or ``None`` if it does not exist."""

    def open(self, key: str, info: FileInfo, start: int, stop: int) -> IO[bytes]:
        """Open a file at ``start``; at least the bytes before ``stop`` can be read."""

    def delete(self, key: str) -> None:
        """Delete a file if it exists."""


class LocalStorage:
    """Stores each file in a folder of its own, as ``content`` and ``info.json``."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def save(
        self, key: str, stream: IO[bytes], filename: str, content_type: str, **metadata: str
    ) -> None:
        partial = self.root / f"{uuid4()}.partial"
        partial.mkdir(parents=True)
        try:
            with (partial / "content").open("xb") as file:
                shutil.copyfileobj(stream, file, CHUNK)
                size = file.tell()
            info = FileInfo(
                filename=filename,
                content_type=content_type,
                size=size,
                etag=uuid4().hex,
                modified=datetime.now(UTC),
                metadata=metadata,
            )
            (partial / "info.json").write_text(info.model_dump_json(), encoding="utf-8")
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            partial.rename(self.root / key)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def info(self, key: str) -> FileInfo | None:
        try:
            document = (self.root / key / "info.json").read_bytes()
        except FileNotFoundError:
            return None
        return FileInfo.model_validate_json(document)

    def open(self, key: str, info: FileInfo, start: int, stop: int) -> IO[bytes]:
        file = (self.root / key / "content").open("rb")
        file.seek(start)
        return file

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / key)


def send(storage: Storage, key: str, info: FileInfo) -> Response:
    """Stream a file as an attachment; handles HEAD, ``Range`` and conditional requests."""
    response = Response(content_type=info.content_type)
    response.content_length = info.size
    response.headers["Content-Disposition"] = attachment(info.filename)
    response.cache_control.no_cache = True
    response.last_modified = info.modified
    response.set_etag(info.etag)
    environ = supported_conditions(request.environ, info.size)
    response.make_conditional(environ, accept_ranges=True, complete_length=info.size)
    if response.status_code == 412:
        raise PreconditionFailed
    if request.method == "HEAD" or response.status_code == 304:
        return response
    start, stop = 0, info.size
    if response.status_code == 206:
        start, stop = response.content_range.start or 0, response.content_range.stop or 0
    content = storage.open(key, info, start, stop)
    response.response = read_chunks(content, stop - start)
    response.call_on_close(content.close)
    return response


def supported_conditions(environ: dict[str, Any], size: int) -> dict[str, Any]:
    """Return the environment without what Werkzeug handles differently from RFC 9110.

    These are dates that are out of range, units other than bytes, a suffix longer than the file,
    which is all of it, and ``If-Match: *``.
    """
    supported = dict(environ)
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE"):
        try:
            parse_date(supported.get(name))
        except OverflowError:
            del supported[name]
    byte_range = supported.get("HTTP_RANGE", "")
    suffix = SUFFIX_RANGE.fullmatch(byte_range)
    if not byte_range.startswith("bytes=") or (suffix and int(suffix[1]) > size):
        supported.pop("HTTP_RANGE", None)
    if supported.get("HTTP_IF_MATCH") == "*":
        del supported["HTTP_IF_MATCH"]
    return supported


def read_chunks(content: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes. If reading fails, the response ends before its Content-Length."""
    while chunk := content.read(min(size, CHUNK)):
        size -= len(chunk)
        yield chunk


def measure(stream: IO[bytes]) -> int:
    """Return the size of a stream in bytes, and rewind it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def display_name(filename: str) -> str:
    """Return the last part of a client's file name, for display only."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last))[-MAX_FILENAME:]


def attachment(filename: str) -> str:
    """Return the Content-Disposition of a download (RFC 6266)."""
    if filename.isascii():
        return f"attachment; filename={quote_header_value(filename)}"
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


def handle_storage_error(error: OSError) -> Response:
    current_app.logger.error("storage failed", exc_info=error)
    return unavailable("Files cannot be stored or read right now. Try again soon.", 30)
