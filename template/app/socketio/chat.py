"""The chat: ``join`` and ``leave`` rooms, and ``chat`` in them, which all in a room get as
``message``.
"""

from datetime import UTC, datetime
# {% if "jwt" not in components %}
from hashlib import sha256
# {% endif %}
from typing import Annotated

from flask_socketio import emit, join_room, leave_room
from pydantic import Field
from werkzeug.exceptions import Conflict, Forbidden

from app.api import Schema
from app.socketio.connections import Connection, current_connection
from app.socketio.events import event

MAX_ROOMS = 20  # of one connection

RoomName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Room(Schema):
    """A room that comes to be when somebody joins it."""

    room: RoomName


class Chat(Schema):
    """Something to say in a room."""

    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Message(Schema):
    """What was said, by whom and when."""

    room: str
    text: str
    sender: str
    sent_at: datetime


@event
def join(body: Room) -> Room:
    """Get what is said in a room from now on."""
    rooms = current_connection().rooms
    if body.room not in rooms and len(rooms) >= MAX_ROOMS:
        raise Conflict(f"Leave a room first: {MAX_ROOMS} are as many as you can be in.")
    rooms.add(body.room)
    join_room(channel(body.room))
    return body


@event
def leave(body: Room) -> Room:
    """Get no more of it. To leave a room that one is not in is no error."""
    current_connection().rooms.discard(body.room)
    leave_room(channel(body.room))
    return body


@event
def chat(body: Chat) -> Message:
    """Say something to all who are in a room, oneself too."""
    connection = current_connection()
    if body.room not in connection.rooms:
        raise Forbidden("Join the room first.")
    message = Message(
        room=body.room, text=body.text, sender=sender(connection), sent_at=datetime.now(UTC)
    )
    emit("message", message.model_dump(mode="json"), to=channel(body.room))
    return message


def channel(room: str) -> str:
    """The room's name for Socket.IO, which has other rooms too, such as one for each client."""
    return f"chat:{room}"


def sender(connection: Connection) -> str:
    """Who speaks, for the others: the same as long as the connection lasts."""
    # {% if "jwt" in components %}
    return f"account-{connection.account_id}"
    # {% else %}
    return f"guest-{sha256(str(connection.sid).encode()).hexdigest()[:6]}"
    # {% endif %}
