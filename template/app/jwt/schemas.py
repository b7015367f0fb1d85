"""What clients send and receive about accounts and tokens."""

from typing import Annotated

from pydantic import Field, SecretStr

from app.api import Email, Schema
from app.users.schemas import Name

Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]


class Registration(Schema):
    """A new account. The name defaults to the part of the address before the @."""

    email: Email
    password: Password
    name: Name | None = None


class Login(Schema):
    """An e-mail address and a password, which need not satisfy the rules for new ones."""

    email: Email
    password: Annotated[SecretStr, Field(max_length=128)]


class TokenPair(Schema):
    """An access token, its lifetime in seconds, and the refresh token that renews it once."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int
