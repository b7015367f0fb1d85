"""Requests and responses of ``/api/v1/files``. Sizes are in bytes, ``expires_in`` in seconds."""

from pydantic import Field

from app.api import Query, Schema, Text
from app.storage import MAX_FILENAME

DEFAULT_EXPIRY, MAX_EXPIRY = 300, 3600


class FileOut(Schema):
    """A stored file."""

    key: str
    filename: str
    content_type: str
    size: int


class UrlQuery(Query):
    """How long the URL is valid."""

    expires_in: int = Field(DEFAULT_EXPIRY, ge=1, le=MAX_EXPIRY)


class UrlOut(Schema):
    """A URL that downloads a file without a token."""

    url: str
    expires_in: int


class PresignedPostIn(Schema):
    """The file to upload. ``max_size`` defaults to the largest size that is allowed."""

    filename: Text = Field(min_length=1, max_length=MAX_FILENAME)
    content_type: Text
    max_size: int | None = Field(None, ge=1)
    expires_in: int = Field(DEFAULT_EXPIRY, ge=1, le=MAX_EXPIRY)


class PresignedPost(Schema):
    """Post ``fields``, and after them ``file``, to ``url`` as ``multipart/form-data``."""

    key: str
    url: str
    fields: dict[str, str]
