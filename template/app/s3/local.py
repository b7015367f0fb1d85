"""Files in a folder, for development. The service itself signs the URLs that S3 would check."""

from time import time
from typing import Any

from flask import current_app, url_for
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.exceptions import Forbidden

from app.s3.schemas import PresignedPost
from app.storage import LocalStorage


class SignedStorage(LocalStorage):
    """A folder, with signed URLs as a bucket has."""

    def presign_get(self, key: str, expires_in: int) -> str:
        return sign("download", expires_in, key=key)

    def presign_post(
        self, key: str, filename: str, content_type: str, max_size: int, expires_in: int
    ) -> PresignedPost:
        file = {"key": key, "filename": filename, "content_type": content_type}
        url = sign("upload", expires_in, max_size=max_size, file=file)
        return PresignedPost(key=key, url=url, fields={"Content-Type": content_type})


def serializer(view: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=f"files.{view}")


def sign(view: str, expires_in: int, **claims: object) -> str:
    """Return the URL of a view of the blueprint ``signed``, with the claims in its token."""
    token = serializer(view).dumps(claims | {"expires": time() + expires_in})
    return url_for(f"signed.{view}", token=token, _external=True)


def verify(view: str, token: str) -> dict[str, Any]:
    """Return the claims of a token; raises ``Forbidden`` if it is not valid or has expired."""
    try:
        claims: dict[str, Any] = serializer(view).loads(token)
    except BadSignature:
        raise Forbidden("The URL is not valid.") from None
    if claims["expires"] < time():
        raise Forbidden("The URL has expired.")
    return claims
