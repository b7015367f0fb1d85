"""A fast path for predictions: Flask's dispatch takes longer than a small model.

It answers JSON requests that succeed. Flask handles all others, and every request once the
application has hooks that must see it, such as a ``before_request`` or CORS.
"""

from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from types import SimpleNamespace
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

from app.api import JSON


def add_fast_path(app: Flask, endpoint: str, answer: Callable[[bytes], bytes]) -> None:
    """Answer ``POST`` requests for ``endpoint`` by ``answer``, which turns a JSON body into the
    response's. If it raises an error, Flask handles the request.
    """
    middleware = app.extensions["middleware"]
    handle_by_flask: WSGIApplication = middleware.wsgi_app
    (rule,) = app.url_map.iter_rules(endpoint)
    matched = SimpleNamespace(url_rule=rule)  # for the request log and the metrics

    @cache  # Flask accepts no further hooks after the first request
    def has_hooks() -> bool:
        hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
        scopes = (None, endpoint.partition(".")[0])
        return any(found.get(scope) for found in hooks for scope in scopes)

    def is_plain(environ: "WSGIEnvironment") -> bool:
        length = environ.get("CONTENT_LENGTH", "")
        return (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == JSON
            and not environ.get("QUERY_STRING")
            and length.isdecimal()
            and int(length) <= app.config["MAX_CONTENT_LENGTH"]
        )

    def fast_path(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != rule.rule or not is_plain(environ) or has_hooks():
            return handle_by_flask(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        try:
            document = answer(body)
        except Exception:
            environ["wsgi.input"] = BytesIO(body)
            return handle_by_flask(environ, start_response)
        environ["werkzeug.request"] = matched
        length = str(len(document))
        start_response("200 OK", [("Content-Type", JSON), ("Content-Length", length)])
        return [document]

    middleware.wsgi_app = fast_path
