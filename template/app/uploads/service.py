"""Storing and finding uploads."""

from hashlib import file_digest
from uuid import UUID, uuid4

from flask import current_app
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotFound, UnsupportedMediaType

# {% if "jwt" in components %}
from app.jwt.permissions import may_access, owner_id
# {% endif %}
from app.storage import FileInfo, Storage, display_name, measure
from app.uploads.content import MIME_OF_EXTENSION, agreed_mime
from app.uploads.schemas import UploadOut


def get_storage() -> Storage:
    storage: Storage = current_app.extensions["uploads"]
    return storage


def store(file: FileStorage) -> UploadOut:
    """Check a file and store it.

    Raises:
        werkzeug.exceptions.UnsupportedMediaType: its type is not accepted, or its extension and
            its content do not agree.
        OSError: the storage does not work.
    """
    filename, stream = display_name(file.filename or ""), file.stream
    mime = agreed_mime(filename, stream)
    if mime is None:
        accepted = ", ".join(MIME_OF_EXTENSION)
        raise UnsupportedMediaType(f"Send one of {accepted}, with content of that type.")
    size = measure(stream)
    digest = file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    stream.seek(0)
    upload = UploadOut(id=uuid4(), filename=filename, mime=mime, size=size, sha256=digest)
    # {% if "jwt" in components %}
    metadata = {"sha256": digest, "owner": str(owner_id())}
    # {% else %}
    metadata = {"sha256": digest}
    # {% endif %}
    get_storage().save(str(upload.id), stream, filename, mime, **metadata)
    return upload


def get(upload_id: UUID) -> FileInfo:
    """Return the description of an upload; raises ``NotFound`` if the caller may not access it."""
    info = get_storage().info(str(upload_id))
    # {% if "jwt" in components %}
    if info is None or not may_access(int(info.metadata.get("owner", 0))):
        raise NotFound("Upload not found.")
    # {% else %}
    if info is None:
        raise NotFound("Upload not found.")
    # {% endif %}
    return info
