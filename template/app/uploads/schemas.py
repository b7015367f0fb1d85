"""Responses of ``/api/v1/uploads``."""

from uuid import UUID

from app.api import Schema


class UploadOut(Schema):
    """A stored file. ``size`` is in bytes, ``sha256`` in hexadecimal digits."""

    id: UUID
    filename: str
    mime: str
    size: int
    sha256: str
