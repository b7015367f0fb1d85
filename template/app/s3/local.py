"""Files in a folder, for development. The service itself signs the URLs that S3 would check."""

from time import time
from typing import Any

from flask import Blueprint, Response, current_app, url_for
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import Forbidden, RequestEntityTooLarge

from app.api import endpoint
from app.s3 import service
from app.s3.schemas import PresignedPost
from app.storage import LocalStorage, handle_storage_error, measure, send

blueprint = Blueprint("signed", __name__, url_prefix="/signed")
blueprint.register_error_handler(OSError, handle_storage_error)
blueprint.before_request(service.allow_large_files)


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
    token = serializer(view).dumps(claims | {"expires": time() + expires_in})
    return url_for(f"signed.{view}", token=token, _external=True)


def verify(view: str, token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = serializer(view).loads(token)
    except BadSignature:
        raise Forbidden("The URL is not valid.") from None
    if claims["expires"] < time():
        raise Forbidden("The URL has expired.")
    return claims


@blueprint.get("/<token>")
@endpoint(media_types=("*/*",), conditional=True, errors=(403, 503))
def download(token: str) -> Response:
    """Download a file by signed URL."""
    key = verify("download", token)["key"]
    return send(service.get_storage(), key, service.get_info(key))


@blueprint.post("/<token>")
@endpoint(status=204, errors=(403, 503))
def upload(token: str, file: FileStorage) -> None:
    """Upload a file by signed form."""
    claims = verify("upload", token)
    if measure(file.stream) > claims["max_size"]:
        raise RequestEntityTooLarge
    service.get_storage().save(stream=file.stream, **claims["file"])
