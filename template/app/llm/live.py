"""Language models over Socket.IO: the event ``ask`` is answered piece by piece."""

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
    """The client's id for its question, which every event of the answer repeats."""

    id: Annotated[str, Field(min_length=1, max_length=100)]


class Ask(Prompt, Asked):
    """A prompt."""


@event
def ask(body: Ask) -> Asked:
    """Ask the language model. Events ``token`` follow, then ``answer`` or ``error``."""
    sid = request.sid  # type: ignore[attr-defined]
    send = copy_current_request_context(send_answer)
    events = get_models().stream(body)
    current_app.extensions["socketio"].start_background_task(send, sid, body.id, events)
    return Asked(id=body.id)


def send_answer(sid: str, question: str, events: Events) -> None:
    """Send the answer to a connection, until one of them ends."""
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
