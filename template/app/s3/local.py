"""Files in a folder, for development. The service itself signs the URLs that S3 would check."""

from time import time
from typing import Any

from flask import current_app, url_for
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.exceptions import Forbidden

from app.s3.schemas import PresignedPost
from app.storage import FileInfo, LocalStorage


class SignedStorage(LocalStorage):
    """A folder, with signed URLs as a bucket has."""

    def presign_get(self, key: str, expires_in: int) -> str:
        return sign("download", key, expires_in)

    def presign_post(self, info: FileInfo, expires_in: int) -> PresignedPost:
        url = sign("upload", info.model_dump(mode="json"), expires_in)
        return PresignedPost(key=info.key, url=url, fields={"Content-Type": info.content_type})


def serializer(view: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=f"files.{view}")


def sign(view: str, subject: object, expires_in: int) -> str:
    """Return the URL of a view of the blueprint ``signed``, with ``subject`` in its token."""
    token = serializer(view).dumps([subject, time() + expires_in])
    return url_for(f"signed.{view}", token=token, _external=True)


def verify(view: str, token: str) -> Any:
    """Return the subject of a token; raises ``Forbidden`` if it is not valid or has expired."""
    try:
        subject, expires = serializer(view).loads(token)
    except BadSignature:
        raise Forbidden("The URL is not valid.") from None
    if expires < time():
        raise Forbidden("The URL has expired.")
    return subject
