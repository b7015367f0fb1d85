"""The body of a request: read whole, bounded, and with each fault of the client a 4xx."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream

CHUNK = 64 * 1024  # bytes
BODY = "service.body"  # where a request's environment keeps what was read


def read_body() -> bytes:
    """The request's whole body, which may be read again."""
    environ = request.environ
    if BODY not in environ:
        with client_faults():
            length = request.content_length
            environ[BODY] = read_chunks() if length is None else read_bytes(environ, length)
    body: bytes = environ[BODY]
    return body


def read_bytes(environ: dict[str, Any], length: int) -> bytes:
    """A body whose length is given, without the layers that count what was read."""
    if length > current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise BadRequest("The body ended before its Content-Length.")
    return body


def read_chunks() -> bytes:
    """A body in chunks; a server cuts it off at the bound."""
    body = request.get_data()
    if len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


class client_faults:  # noqa: N801
    """Servers have errors of their own for a body that is no HTTP, such as a broken chunk.

    Those of this system are none of the client's, say of a disk that is full.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HTTPException) or is_of_this_system(error):
            return
        if isinstance(error, Exception):
            raise BadRequest("The body could not be read.") from error


def is_of_this_system(error: BaseException | None) -> bool:
    """Servers give their own errors no number."""
    lost = isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, OSError) and error.errno is not None and not lost


def drain() -> None:
    """Read what no view has read of the body, up to twice the bound.

    A server that answers before closes the connection over the rest, and the client may see a
    broken one in the place of the answer, or at its next request.
    """
    if BODY in request.environ:
        return
    with suppress(Exception):  # a body that is no HTTP, or breaks off
        read = reader_of_rest()
        while read(CHUNK):
            pass


def reader_of_rest() -> Callable[[int], bytes | None]:
    try:
        return request.stream.read
    except RequestEntityTooLarge:
        most = 2 * current_app.config["MAX_CONTENT_LENGTH"]
        length = min(request.content_length or 0, most)
        return LimitedStream(request.environ["wsgi.input"], length).read
