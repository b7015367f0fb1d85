"""Responses of ``/api/v1/uploads``."""

from uuid import UUID

from app.api import Schema
from app.storage import FileInfo


class UploadOut(Schema):
    """A stored file. ``size`` is in bytes, ``sha256`` in hexadecimal digits."""

    id: UUID
    filename: str
    mime: str
    size: int
    sha256: str

    @classmethod
    def of(cls, info: FileInfo) -> "UploadOut":
        return cls(
            id=UUID(info.key),
            filename=info.filename,
            mime=info.content_type,
            size=info.size,
            sha256=info.metadata["sha256"],
        )
