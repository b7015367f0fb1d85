"""What a file is, by its content; what it is called only has to agree."""

import re
from pathlib import PurePosixPath
from typing import BinaryIO

import filetype

HEAD_SIZE = 8192  # bytes that the sniffer looks at
CHUNK_SIZE = 1 << 16
CONTROL_CHARACTERS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
#: What the sniffer takes two letters for, which the first word of a text may begin with, too.
SIGNED_BY_A_WORD = {"application/x-msdownload", "image/bmp"}
MIME_OF_EXTENSION = {
    "csv": "text/csv",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
}


def display_name(filename: str) -> str:
    """The last part of a client's file name, to show and never to open; 255 characters at most."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last))[-255:]


def agreed_mime(filename: str, stream: BinaryIO) -> str | None:
    """The media type that name and content agree on; None where they don't or it is not taken."""
    extension = PurePosixPath(filename).suffix.lower().removeprefix(".")
    expected = MIME_OF_EXTENSION.get(extension)
    return expected if expected and expected == sniff(stream) else None


def sniff(stream: BinaryIO) -> str | None:
    """The media type of the content. No signature tells CSV: it is text that nothing else is."""
    head = stream.read(HEAD_SIZE)
    stream.seek(0)
    mime = filetype.guess_mime(head)
    if mime == "image/apng":
        return "image/png"
    if mime is None or mime in SIGNED_BY_A_WORD:
        return "text/csv" if is_text(stream) else None
    return str(mime)


def is_text(stream: BinaryIO) -> bool:
    """Whether all of a seekable stream could be text in an encoding that extends ASCII."""
    chunks = iter(lambda: stream.read(CHUNK_SIZE), b"")
    text = not any(CONTROL_CHARACTERS.search(chunk) for chunk in chunks)
    size = stream.tell()
    stream.seek(0)
    return text and size > 0
