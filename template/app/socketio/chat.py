"""The chat: clients ``join`` and ``leave`` rooms; ``chat`` reaches all in a room as ``message``."""

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

MAX_ROOMS = 20  # a connection

RoomName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Room(Schema):
    """A room exists while somebody is in it."""

    room: RoomName


class Chat(Room):
    """A text for everybody in a room."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Message(Chat):
    """A text that was sent to a room."""

    sender: str
    sent_at: datetime


@event
def join(body: Room) -> Room:
    """Receive the messages of a room."""
    rooms = current_connection().rooms
    if body.room not in rooms and len(rooms) >= MAX_ROOMS:
        raise Conflict(f"Too many rooms ({MAX_ROOMS} at most). Leave one first.")
    rooms.add(body.room)
    join_room(channel(body.room))
    return body


@event
def leave(body: Room) -> Room:
    """Stop receiving the messages of a room. Leaving it twice is not an error."""
    current_connection().rooms.discard(body.room)
    leave_room(channel(body.room))
    return body


@event
def chat(body: Chat) -> Message:
    """Send a message to everybody in a room, the sender included."""
    connection = current_connection()
    if body.room not in connection.rooms:
        raise Forbidden("Join the room first.")
    message = Message(
        room=body.room, text=body.text, sender=sender(connection), sent_at=datetime.now(UTC)
    )
    emit("message", message.model_dump(mode="json"), to=channel(body.room))
    return message


def channel(room: str) -> str:
    """The room's name in Socket.IO, which has other rooms too, such as one for each client."""
    return f"chat:{room}"


def sender(connection: Connection) -> str:
    """The sender's public name, the same as long as the connection lasts."""
    # {% if "jwt" in components %}
    return f"account-{connection.account_id}"
    # {% else %}
    return f"guest-{sha256(str(connection.sid).encode()).hexdigest()[:6]}"
    # {% endif %}
