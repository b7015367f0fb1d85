"""What clients send and receive about users."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from app.api import Schema, Text
# {% if "jwt" in components %}
from app.users.models import Role
# {% endif %}

Name = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class UserOut(Schema):
    """A user as stored."""

    id: int
    email: str
    name: str
    # {% if "jwt" in components %}
    role: Role
    # {% endif %}
    created_at: datetime
