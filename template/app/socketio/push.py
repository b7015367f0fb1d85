"""Send events to clients from anywhere: a view, a command, a worker.

With ``REDIS_URL`` they reach the clients of every process, otherwise those of this one.
"""

from typing import Any

from flask import current_app


def to_room(room: str, event: str, document: dict[str, Any]) -> None:
    """Send an event to all clients in a room."""
    current_app.extensions["socketio"].emit(event, document, to=room)
# {% if "jwt" in components %}


def to_user(account_id: int, event: str, document: dict[str, Any]) -> None:
    """Send an event to every connection of an account."""
    to_room(user_room(account_id), event, document)


def user_room(account_id: int) -> str:
    """The room of an account's connections; the event ``join`` can't enter it."""
    return f"account:{account_id}"
# {% endif %}
