"""Typed events: the handler's signature names the model that validates the event.

    @event
    def greet(body: Greeting) -> Greeted: ...

handles the event ``greet`` and acknowledges it with what it returns. An error is a problem document
with the event's name in ``event``; it is the acknowledgement, and is also sent as the event
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
from flask_socketio import disconnect, emit
from prometheus_client import Counter
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, InternalServerError, NotFound

from app.api import field_errors
from app.errors import Invalid, field_error
from app.socketio.connections import current_connection

MALFORMED = "malformed"  # the event that a malformed packet is handled as
MAX_NAME = 50  # characters of an unknown event's name that an error repeats
EVENTS = Counter("socketio_events_total", "Events handled.", ["event", "status"])

Document = dict[str, Any]
H = TypeVar("H", bound=Callable[..., BaseModel])

#: Event → its handler.
handlers: dict[str, Callable[..., Document]] = {}

log = structlog.stdlib.get_logger(__name__)


def event(handler: H) -> H:
    """Register ``handler`` for the event of its name."""
    name = handler.__name__
    model = inspect.signature(handler, eval_str=True).parameters["body"].annotation
    handlers[name] = lambda *arguments: answer(name, lambda: handler(parse(model, arguments)))
    return handler


def answer_unknown(name: str, *arguments: object) -> Document:
    """Handle every event without a handler."""

    def refuse() -> BaseModel:
        if name == MALFORMED:
            raise BadRequest("Not an event of Socket.IO, protocol version 5.")
        raise NotFound(f"Unknown event. Known events: {', '.join(sorted(handlers))}.")

    return answer(name[:MAX_NAME], refuse)


def parse(model: type[BaseModel], arguments: tuple[object, ...]) -> BaseModel:
    """Validate the one object that an event carries."""
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        raise Invalid([field_error("body", "Send exactly one object with the event.")])
    try:
        return model.model_validate(arguments[0])
    except ValidationError as error:
        raise Invalid(field_errors(error, "body")) from None


def answer(name: str, handle: Callable[[], BaseModel]) -> Document:
    """Handle an event as an HTTP request would be: limited, authenticated, logged and counted."""
    started = perf_counter()
    connection = current_connection()
    status = 200
    try:
        connection.count_event()
        # {% if "jwt" in components %}
        verify_jwt_in_request()
        # {% endif %}
        document = handle().model_dump(mode="json")
    except Exception as error:
        document = describe(error) | {"event": name}
        status = document["status"]
        emit("error", document)
        if connection.dropped:
            disconnect()  # or the events that have arrived already would be handled
    EVENTS.labels(name if name in handlers else "unknown", status).inc()
    duration_ms = round((perf_counter() - started) * 1000, 2)
    log.info("socket event", name=name, status=status, duration_ms=duration_ms)
    return document


def describe(error: Exception) -> Document:
    """The problem document that an HTTP request would get for the same error."""
    try:
        response = current_app.handle_user_exception(error)
    except Exception:
        log.exception("event failed")
        response = current_app.handle_user_exception(InternalServerError())
    document: Document = current_app.make_response(response).get_json()
    return document
