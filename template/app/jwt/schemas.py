"""What clients send and get of accounts and tokens."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, SecretStr

from app.api import Email, Schema


class Registration(Schema):
    """A new account."""

    email: Email
    password: Annotated[SecretStr, Field(min_length=8, max_length=128)]


class Credentials(Schema):
    """What somebody logs in with. Any password may be tried: the rules for new ones can change."""

    email: Email
    password: Annotated[SecretStr, Field(max_length=128)]


class AccountOut(Schema):
    """An account, without its password."""

    id: int
    email: str
    created_at: datetime


class TokenPair(Schema):
    """An access token, its life in seconds, and the refresh token that renews it once."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int
