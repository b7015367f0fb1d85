"""Storing and finding uploads."""

from hashlib import file_digest
from uuid import UUID, uuid4

from flask import current_app
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotFound, UnsupportedMediaType

# {% if "jwt" in components %}
from app.jwt.permissions import may_access, owner_id
# {% endif %}
# {% if "s3" in components %}
from app.s3.bucket import BucketStorage
# {% endif %}
from app.storage import FileInfo, LocalStorage, display_name, measure
from app.uploads.content import MIME_OF_EXTENSION, agreed_mime


# {% if "s3" in components %}
def get_storage() -> BucketStorage | LocalStorage:
    storage: BucketStorage | LocalStorage = current_app.extensions["uploads"]
    return storage
# {% else %}
def get_storage() -> LocalStorage:
    storage: LocalStorage = current_app.extensions["uploads"]
    return storage
# {% endif %}


def store(file: FileStorage) -> FileInfo:
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
    metadata = {"sha256": file_digest(stream, "sha256").hexdigest()}  # type: ignore[arg-type]
    # {% if "jwt" in components %}
    metadata["owner"] = str(owner_id())
    # {% endif %}
    info = FileInfo(
        key=str(uuid4()),
        filename=filename,
        content_type=mime,
        size=measure(stream),
        metadata=metadata,
    )
    get_storage().save(info, stream)
    return info


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
