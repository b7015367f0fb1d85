"""Typed events: a handler's signature says what it takes; it is checked here.

    @event
    def greet(body: Greeting) -> Greeted: ...

answers the event ``greet``. What it returns is the acknowledgement. Whatever goes wrong is a
problem document, with the event's name in ``event``: as the acknowledgement, and as the event
``error`` for clients that ask for none.
"""

import inspect
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import structlog
from flask import current_app
# {% if "jwt" in components %}
from flask_jwt_extended import verify_jwt_in_request
# {% endif %}
from flask_socketio import emit
from prometheus_client import Counter
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import InternalServerError, NotFound, TooManyRequests

from app.api import field_errors
from app.errors import Invalid, field_error
from app.socketio.connections import current_connection

MAX_NAME = 50  # characters of an unknown event's name that an error gives back
EVENTS = Counter("socketio_events_total", "Events answered.", ["event", "status"])

Document = dict[str, Any]
Handler = Callable[..., Document]
H = TypeVar("H", bound=Callable[..., BaseModel])

#: Event → its handler.
handlers: dict[str, Handler] = {}

log = structlog.stdlib.get_logger(__name__)


def event(handler: H) -> H:
    """Have ``handler`` answer the event of its name."""
    name = handler.__name__
    model = inspect.signature(handler, eval_str=True).parameters["body"].annotation

    def handle(*arguments: object) -> Document:
        return answer(name, lambda: handler(read(model, arguments)))

    handlers[name] = handle
    return handler


def unknown(name: object, *arguments: object) -> Document:
    """Answer an event that nobody handles."""

    def refuse() -> BaseModel:
        raise NotFound(f"There is no such event. There are: {', '.join(sorted(handlers))}.")

    return answer(str(name)[:MAX_NAME], refuse)


def read(model: type[BaseModel], arguments: tuple[object, ...]) -> BaseModel:
    """The one object that an event carries."""
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        raise Invalid([field_error("body", "Send exactly one object with the event.")])
    try:
        return model.model_validate(arguments[0])
    except ValidationError as error:
        raise Invalid(field_errors(error, "body")) from None


def answer(name: str, call: Callable[[], BaseModel]) -> Document:
    """Handle an event as an HTTP request would be: limited, authenticated, logged and counted."""
    started = perf_counter()
    status, document = 200, None
    try:
        if not current_connection().bucket.take():
            raise TooManyRequests("Too many events. Send them more slowly.")
        # {% if "jwt" in components %}
        verify_jwt_in_request()
        # {% endif %}
        document = call().model_dump(mode="json")
    except Exception as error:
        document = describe(error) | {"event": name}
        status = document["status"]
        emit("error", document)
    EVENTS.labels(name if name in handlers else "unknown", status).inc()
    log.info(
        "socket event",
        name=name,
        status=status,
        duration_ms=round((perf_counter() - started) * 1000, 2),
    )
    return document


def describe(error: Exception) -> Document:
    """The problem document that an HTTP request gets for the same error."""
    try:
        response = current_app.handle_user_exception(error)
    except Exception:
        log.exception("an event failed")
        response = current_app.handle_user_exception(InternalServerError())
    document: Document = current_app.make_response(response).get_json()
    return document
