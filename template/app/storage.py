"""Stored files: their description, a folder that keeps them, and their download."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from urllib.parse import quote
from uuid import uuid4

from flask import Response, current_app, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import quote_header_value

from app.errors import unavailable

CHUNK = 64 * 1024  # bytes
MAX_FILENAME = 255  # characters


class FileInfo(BaseModel):
    """The description of a file. ``size`` is in bytes; ``metadata`` is ASCII text."""

    key: str  # made by this service, never by clients
    filename: str
    content_type: str
    size: int
    metadata: dict[str, str] = {}
    etag: str = Field(default_factory=lambda: uuid4().hex)
    modified: datetime = Field(default_factory=lambda: datetime.now(UTC))


class LocalStorage:
    """Stores each file in a folder of its own, as ``content`` and ``info.json``.

    Every method raises ``OSError`` if the storage fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def save(self, info: FileInfo, stream: IO[bytes]) -> None:
        """Store a file, completely or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.root) as temporary:
            folder = Path(temporary, "file")
            folder.mkdir()
            with (folder / "content").open("xb") as file:
                shutil.copyfileobj(stream, file, CHUNK)
            (folder / "info.json").write_text(info.model_dump_json(), encoding="utf-8")
            place = self.root / info.key
            place.parent.mkdir(exist_ok=True)
            # {% if "s3" in components %}
            with suppress(FileNotFoundError):  # a signed form can be sent again
                place.rename(Path(temporary, "replaced"))
            # {% endif %}
            folder.rename(place)

    def info(self, key: str) -> FileInfo | None:
        """Return the description of a file, or ``None`` if it does not exist."""
        try:
            document = (self.root / key / "info.json").read_bytes()
        except FileNotFoundError:
            return None
        return FileInfo.model_validate_json(document)

    def open(self, info: FileInfo, start: int, stop: int) -> IO[bytes]:
        """Open a file at ``start``; at least the bytes before ``stop`` can be read."""
        file = (self.root / info.key / "content").open("rb")
        file.seek(start)
        return file
    # {% if "s3" in components %}

    def delete(self, key: str) -> None:
        """Delete a file if it exists."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / key)
    # {% endif %}


def send(info: FileInfo, open_file: Callable[[FileInfo, int, int], IO[bytes]]) -> Response:
    """Stream a file as an attachment; handles HEAD, ``Range`` and conditional requests.

    ``open_file`` is the method ``open`` of its storage.
    """
    response = Response(content_type=info.content_type)
    response.content_length = info.size
    response.headers["Content-Disposition"] = attachment(info.filename)
    response.cache_control.no_cache = True
    response.last_modified = info.modified
    response.set_etag(info.etag)
    # Where Werkzeug differs from RFC 9110: ``If-Match: *`` matches every file; units other than
    # bytes and impossible dates are ignored; a suffix longer than the file is the whole file.
    environ = dict(request.environ)
    if request.if_match.star_tag:
        del environ["HTTP_IF_MATCH"]
    is_long_suffix = request.range is not None and request.range.ranges[0][0] < -info.size
    if is_long_suffix or not request.headers.get("Range", "").startswith("bytes="):
        environ.pop("HTTP_RANGE", None)
    with suppress(OverflowError):
        response.make_conditional(environ, accept_ranges=True, complete_length=info.size)
    if response.status_code == 412:
        raise PreconditionFailed
    if request.method == "GET" and response.status_code != 304:
        part = response.content_range
        start, stop = part.start or 0, part.stop or info.size
        content = open_file(info, start, stop)
        response.response = read_chunks(content, stop - start)
        response.call_on_close(content.close)
    return response


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
