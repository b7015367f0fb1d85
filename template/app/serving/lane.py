"""A lane past Flask for plain predictions, which else wait longer for its dispatch than for the
model.

It takes a POST of plain JSON, or of an array in NumPy's format, that can be answered with 200.
Anything else goes on to Flask, which knows how to refuse it, and so does everything as soon as a
hook of Flask's would have to see the request: one that asks for a token, or one that adds CORS
headers.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.routing import Rule

from app.api import JSON
from app.serving.answers import Layout
from app.serving.arrays import NPY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: What answers a body of JSON or ``NPY``, or leaves it to Flask: by nothing, or by any error.
Answer = Callable[[bytes, str, Layout], bytes | None]

#: The query strings that the lane takes.
LAYOUTS: dict[str, Layout] = {"": "rows", "layout=rows": "rows", "layout=columns": "columns"}


@dataclass(frozen=True)
class Matched:
    """As much of a request as the middleware wants to know."""

    url_rule: Rule


def open_lane(app: Flask, endpoint: str, answer: Answer) -> None:
    """Ask ``answer`` before Flask asks the view of ``endpoint``."""
    middleware = app.extensions["middleware"]
    middleware.wsgi_app = Lane(app, middleware.wsgi_app, endpoint, answer)


class Lane:
    """WSGI in front of Flask's own."""

    def __init__(
        self, app: Flask, wsgi_app: "WSGIApplication", endpoint: str, answer: Answer
    ) -> None:
        self.app = app
        self.wsgi_app = wsgi_app
        self.answer = answer
        (rule,) = app.url_map.iter_rules(endpoint)
        self.path = rule.rule
        self.matched = Matched(rule)
        self.blueprint = endpoint.partition(".")[0]

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        document = None
        if environ["PATH_INFO"] == self.path and self.is_open:
            with suppress(Exception):  # it happens again in Flask, and is handled there
                document = self.find(environ)
        if document is None:
            return self.wsgi_app(environ, start_response)
        environ["werkzeug.request"] = self.matched
        length = str(len(document))
        start_response("200 OK", [("Content-Type", JSON), ("Content-Length", length)])
        return [document]

    @cached_property
    def is_open(self) -> bool:
        """Whether Flask would call the view alone; from the first request on, it takes no hooks."""
        app = self.app
        stages = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
        return not any(stage.get(name) for stage in stages for name in (None, self.blueprint))

    def find(self, environ: "WSGIEnvironment") -> bytes | None:
        layout = LAYOUTS.get(environ.get("QUERY_STRING", ""))
        media_type = environ["CONTENT_TYPE"]
        if environ["REQUEST_METHOD"] != "POST" or not layout or media_type not in (JSON, NPY):
            return None
        length = int(environ["CONTENT_LENGTH"])
        if length > self.app.config["MAX_CONTENT_LENGTH"]:
            return None
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = BytesIO(body)  # for Flask, if it comes to that
        return self.answer(body, media_type, layout) if len(body) == length else None
