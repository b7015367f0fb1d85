"""Request bodies: bounded, and a fault of the client is a 4xx."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask import current_app, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

CHUNK = 64 * 1024  # bytes


def read_body() -> bytes:
    """Return the request's whole body. It can be read again."""
    with client_faults():
        body = request.get_data()
    # A body in chunks is cut off at the limit.
    if request.content_length is None and len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


@contextmanager
def client_faults() -> Iterator[None]:
    """Answer 400 where a server fails to read a body, such as a broken chunk.

    Errors of this system, such as a full disk, have an error number and are not the client's fault.
    """
    try:
        yield
    except HTTPException:
        raise
    except Exception as error:
        lost = isinstance(error, ConnectionError | TimeoutError)
        if isinstance(error, OSError) and error.errno is not None and not lost:
            raise
        raise BadRequest("The body could not be read.") from error


def drain() -> None:
    """Read what is left of the body, up to twice the limit.

    Otherwise the server closes the connection, and clients may see that instead of the response.
    """
    left = min(request.content_length or 0, 2 * current_app.config["MAX_CONTENT_LENGTH"])
    with suppress(Exception):
        while left > 0 and (chunk := request.environ["wsgi.input"].read(min(CHUNK, left))):
            left -= len(chunk)
