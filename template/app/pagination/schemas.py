"""What clients send and receive about posts."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from app.api import Schema, Text


class PostIn(Schema):
    """A post to store."""

    title: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    body: Annotated[Text, StringConstraints(max_length=10_000)] = ""


class PostOut(Schema):
    """A post as stored."""

    id: int
    title: str
    body: str
    # {% if "jwt" in components %}
    owner_id: int | None
    # {% endif %}
    created_at: datetime


class PostPage(Schema):
    """Posts, newest first."""

    items: list[PostOut]
    next_cursor: str | None
