"""What clients send and receive about users."""

from pydantic import Field

from app.api import Email, Schema
# {% if "jwt" in components %}
from app.users.models import Role
# {% endif %}
from app.users.schemas import Name, UserOut


class UserIn(Schema):
    """A user to store."""

    email: Email
    name: Name


class UserPatch(Schema):
    """The fields to change. Omitted fields stay as they are; their defaults are never used."""

    email: Email = Field(default_factory=str)
    name: Name = Field(default_factory=str)
    # {% if "jwt" in components %}
    role: Role = "user"
    # {% endif %}


class UserList(Schema):
    """Users, oldest first."""

    items: list[UserOut]
    # {% if "pagination" in components %}
    next_cursor: str | None
    # {% endif %}
