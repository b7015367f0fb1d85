"""Request bodies: bounded, and read to their end."""

from contextlib import suppress

from flask import current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

CHUNK = 64 * 1024  # bytes


def read_body() -> bytes:
    """Return the request's whole body. It can be read again."""
    body = request.get_data()
    # A body in chunks is cut off at the limit.
    if request.content_length is None and len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


def drain() -> None:
    """Read what is left of the body, up to twice the limit.

    Otherwise the server closes the connection, and clients may see that instead of the response.
    """
    left = min(request.content_length or 0, 2 * current_app.config["MAX_CONTENT_LENGTH"])
    with suppress(Exception):
        while left > 0 and (chunk := request.environ["wsgi.input"].read(min(CHUNK, left))):
            left -= len(chunk)
