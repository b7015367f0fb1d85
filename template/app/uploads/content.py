"""The type of a file: its extension and its content must agree."""

import re
from pathlib import PurePosixPath
from typing import IO

CHUNK = 64 * 1024  # bytes
PDF_HEADER = b"%PDF-"  # may come after other bytes, but within the first 1,024
CONTROL_CHARACTERS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
MIME_OF_EXTENSION = {
    "csv": "text/csv",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
}
SIGNATURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


def agreed_mime(filename: str, stream: IO[bytes]) -> str | None:
    """Return the media type of a file, or ``None`` if it isn't accepted.

    ``stream`` must be seekable; it is at its start afterwards.
    """
    extension = PurePosixPath(filename).suffix.lower().removeprefix(".")
    mime = MIME_OF_EXTENSION.get(extension)
    return mime if mime and has_content_of(mime, stream) else None


def has_content_of(mime: str, stream: IO[bytes]) -> bool:
    head = stream.read(1024)
    stream.seek(0)
    if mime == "text/csv":  # has no signature: any text is accepted
        return not head.startswith(PDF_HEADER) and is_text(stream)
    if mime == "application/pdf":
        return PDF_HEADER in head and not head.startswith(tuple(SIGNATURES.values()))
    return head.startswith(SIGNATURES[mime])


def is_text(stream: IO[bytes]) -> bool:
    """Whether a stream is text in an encoding that extends ASCII, and not empty."""
    chunks = iter(lambda: stream.read(CHUNK), b"")
    text = not any(CONTROL_CHARACTERS.search(chunk) for chunk in chunks)
    size = stream.tell()
    stream.seek(0)
    return text and size > 0
