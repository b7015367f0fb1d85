"""What clients send and get of users."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from app.api import Email, Schema, Text

Name = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class UserIn(Schema):
    """A user as a client writes it."""

    email: Email
    name: Name


class UserPatch(Schema):
    """The fields to change; what is absent stays. A default's value is never used."""

    email: Email = Field(default_factory=str)
    name: Name = Field(default_factory=str)


class UserOut(Schema):
    """A user as it is stored."""

    id: int
    email: str
    name: str
    created_at: datetime


class UserList(Schema):
    """Users in the order in which they were created."""

    items: list[UserOut]
    # {% if "pagination" in components %}
    next_cursor: str | None
    # {% endif %}
