"""What can be done with uploads, whoever asks."""

from pathlib import Path
from uuid import UUID

from flask import current_app
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotFound, UnsupportedMediaType

from app.uploads.content import MIME_OF_EXTENSION, agreed_mime, display_name
from app.uploads.schemas import UploadOut
from app.uploads.storage import LocalStorage


def store(file: FileStorage) -> UploadOut:
    """Check a file and keep it.

    Raises:
        werkzeug.exceptions.UnsupportedMediaType: its type is not taken, or its name and its
            content do not agree on one.
        OSError: it cannot be kept.
    """
    filename = display_name(file.filename or "")
    mime = agreed_mime(filename, file.stream)  # type: ignore[arg-type]
    if mime is None:
        raise UnsupportedMediaType(
            f"Send one of {', '.join(MIME_OF_EXTENSION)}, with the content that its name says."
        )
    return get_storage().save(file.stream, filename, mime)  # type: ignore[arg-type]


def get(upload_id: UUID) -> UploadOut:
    """What is known of an upload; ``werkzeug.exceptions.NotFound`` where there is none."""
    upload = get_storage().get(upload_id)
    if upload is None:
        raise NotFound("There is no such upload.")
    return upload


def content_path(upload_id: UUID) -> Path:
    """The file with the content of an upload that ``get`` has found."""
    return get_storage().path(upload_id)


def get_storage() -> LocalStorage:
    storage: LocalStorage = current_app.extensions["uploads"]
    return storage
