"""Language models over a connection: ``ask`` is answered in pieces, as they come."""

from typing import Annotated

from flask import copy_current_request_context, current_app, request
from pydantic import Field

from app.api import Schema
from app.llm.errors import ProviderError, to_problem
from app.llm.schemas import Answer, Prompt
from app.llm.service import Events, get_models
from app.socketio import push
from app.socketio.connections import current_connection
from app.socketio.events import event


class Asked(Schema):
    """The client's name for its question; each event of the answer carries it."""

    id: Annotated[str, Field(min_length=1, max_length=100)]


class Ask(Prompt, Asked):
    """A prompt."""


@event
def ask(body: Ask) -> Asked:
    """Ask the language model. The text comes in events ``token``, then ``answer``, or ``error``."""
    sid = request.sid  # type: ignore[attr-defined]
    send = copy_current_request_context(send_answer)
    events = get_models().stream(body)
    current_app.extensions["socketio"].start_background_task(send, sid, body.id, events)
    return Asked(id=body.id)


def send_answer(sid: str, question: str, events: Events) -> None:
    """Send the events to the connection, until it ends."""
    connection = current_connection()
    try:
        for event in events:
            if connection.ended:
                break
            if isinstance(event, Answer):
                push.to_room(sid, "answer", {"id": question, **event.model_dump(exclude={"reply"})})
            else:
                push.to_room(sid, "token", {"id": question, "text": event})
    except ProviderError as error:
        push.to_room(sid, "error", {"id": question, "event": "ask", **to_problem(error).get_json()})
    finally:
        events.close()
