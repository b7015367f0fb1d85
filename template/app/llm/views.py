"""Answers over HTTP: whole as JSON, or in pieces as server-sent events."""

from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, Response
from pydantic_core import to_json

from app.api import JSON, PREFIX, endpoint
from app.llm.errors import ProviderError, to_problem
from app.llm.schemas import Answer, Chat
from app.llm.service import Events, get_models

EVENT_STREAM = "text/event-stream"
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # or nginx would hold the pieces back
}


def chat_blueprint(provider: str) -> Blueprint:
    """Return a blueprint with ``/api/v1/<provider>/chat``, which also handles ``ProviderError``."""
    blueprint = Blueprint(provider, __name__, url_prefix=f"{PREFIX}/{provider}")
    blueprint.register_error_handler(ProviderError, to_problem)

    @blueprint.post("/chat")
    @endpoint(returns=Answer, errors=(503,), media_types=(JSON, EVENT_STREAM))
    def chat(body: Chat) -> Answer | Response:
        """Ask a language model.

        With `stream`, pieces of the reply come as messages with `text`, then the event `done` with
        usage and stop reason, or the event `error` with a problem document.
        """
        if not body.stream:
            return get_models().answer(body, provider)
        events = get_models().stream(body, provider)
        first = next(events)  # an error before it has a status of its own
        response = Response(encode(first, events), headers=HEADERS, mimetype=EVENT_STREAM)
        response.call_on_close(events.close)  # also if the client disconnects
        return response

    return blueprint


def encode(first: str | Answer, events: Events) -> Iterator[bytes]:
    """Pieces are messages with ``text``; the last event, ``done``, has all but the reply."""
    try:
        for event in chain([first], events):
            if isinstance(event, str):
                yield b"data: %b\n\n" % to_json({"text": event})
            else:
                yield b"event: done\ndata: %b\n\n" % to_json(event.model_dump(exclude={"reply"}))
    except ProviderError as error:
        yield b"event: error\ndata: %b\n\n" % to_problem(error).get_data()
