"""Storing, finding and sharing files."""

import re
from uuid import uuid4

from flask import current_app, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, UnsupportedMediaType

from app.errors import Invalid, field_error
# {% if "jwt" in components %}
from app.jwt.permissions import may_access, owner_id
# {% endif %}
from app.s3.bucket import BucketStorage
from app.s3.local import SignedStorage
from app.s3.schemas import PresignedPost, PresignedPostIn
from app.storage import FileInfo, display_name, measure

# {% if "jwt" in components %}
KEY = re.compile(r"(?:([0-9]{1,10})/)?[0-9a-f-]{36}")  # begins with the owner
# {% else %}
KEY = re.compile(r"[0-9a-f-]{36}")
# {% endif %}
FORM_OVERHEAD = 64 * 1024  # bytes of a multipart body around the file


def get_storage() -> BucketStorage | SignedStorage:
    storage: BucketStorage | SignedStorage = current_app.extensions["files"]
    return storage


def allow_large_files() -> None:
    """Allow larger bodies for files, since they are never in memory as a whole."""
    if request.mimetype == "multipart/form-data":
        request.max_content_length = current_app.config["FILE_MAX_SIZE"] + FORM_OVERHEAD


def store(file: FileStorage) -> FileInfo:
    """Store a file under a new key.

    Raises:
        werkzeug.exceptions.UnsupportedMediaType: its type is not one of ``FILE_TYPES``.
        werkzeug.exceptions.RequestEntityTooLarge: it has more than ``FILE_MAX_SIZE`` bytes.
        OSError: the storage does not work.
    """
    types, max_size = current_app.config["FILE_TYPES"], current_app.config["FILE_MAX_SIZE"]
    if file.mimetype not in types:
        raise UnsupportedMediaType(f"Send a file of one of these types: {', '.join(types)}.")
    info = new_file(file.filename or "", file.mimetype, measure(file.stream))
    if info.size > max_size:
        raise RequestEntityTooLarge(f"File too large ({max_size} bytes at most).")
    get_storage().save(info, file.stream)
    return info


def presign_post(form: PresignedPostIn) -> PresignedPost:
    """Return a form that uploads one file under a new key; raises ``Invalid``."""
    types, max_size = current_app.config["FILE_TYPES"], current_app.config["FILE_MAX_SIZE"]
    if form.content_type not in types:
        raise Invalid([field_error("content_type", f"Must be one of {', '.join(types)}.")])
    info = new_file(form.filename, form.content_type, form.max_size or max_size)
    if info.size > max_size:
        raise Invalid([field_error("max_size", f"Must be at most {max_size}.")])
    return get_storage().presign_post(info, form.expires_in)


def new_file(filename: str, content_type: str, size: int) -> FileInfo:
    # {% if "jwt" in components %}
    key = f"{owner_id()}/{uuid4()}"
    # {% else %}
    key = str(uuid4())
    # {% endif %}
    name = display_name(filename)
    return FileInfo(key=key, filename=name, content_type=content_type, size=size)


def get(key: str) -> FileInfo:
    """Return the description of a file; raises ``NotFound`` if the caller may not access it."""
    # {% if "jwt" in components %}
    match = KEY.fullmatch(key)
    if match is None or not may_access(int(match[1] or 0)):
        raise NotFound("File not found.")
    # {% endif %}
    return find(key)


def find(key: str) -> FileInfo:
    """Return the description of a file, without checking who asks."""
    info = get_storage().info(key) if KEY.fullmatch(key) else None
    if info is None:
        raise NotFound("File not found.")
    return info
