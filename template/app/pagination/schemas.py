"""What clients send and get of posts."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from app.api import Schema, Text


class PostIn(Schema):
    """A post as a client writes it."""

    title: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    body: Annotated[Text, StringConstraints(max_length=10_000)] = ""


class PostOut(Schema):
    """A post as it is stored."""

    id: int
    title: str
    body: str
    created_at: datetime


class PostPage(Schema):
    """Posts, newest first."""

    items: list[PostOut]
    next_cursor: str | None
