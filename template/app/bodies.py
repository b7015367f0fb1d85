"""Request bodies are bounded and not compressed."""

from flask import abort, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import problem


def read_body() -> bytes:
    """Return the request's whole body. It can be read again."""
    refuse_encoding()
    body = request.get_data()
    # A body in chunks is cut off at the limit.
    if request.content_length is None and len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


def refuse_encoding() -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        headers = {"Accept-Encoding": "identity"}
        abort(problem(415, "Send the body without Content-Encoding.", headers))
