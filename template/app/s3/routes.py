"""``/api/v1/files``, and ``/signed``, where files in a folder are reached by signed URLs."""

from flask import Blueprint, Response, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.api import PREFIX, endpoint
from app.s3 import service
from app.s3.local import verify
from app.s3.schemas import FileOut, PresignedPost, PresignedPostIn, UrlOut, UrlQuery
from app.storage import handle_storage_error, measure, send

blueprint = Blueprint("files", __name__, url_prefix=f"{PREFIX}/files")
signed = Blueprint("signed", __name__, url_prefix="/signed")
for each in (blueprint, signed):
    each.register_error_handler(OSError, handle_storage_error)
    each.before_request(service.allow_large_files)


@blueprint.post("")
@endpoint(returns=FileOut, status=201, errors=(503,))
def create_file(file: FileStorage) -> tuple[FileOut, dict[str, str]]:
    """Upload a file."""
    stored = service.store(file)
    return stored, {"Location": url_for("files.download_file", key=stored.key)}


@blueprint.post("/presigned")
@endpoint(returns=PresignedPost, status=201, errors=(503,))
def presign_upload(body: PresignedPostIn) -> PresignedPost:
    """Create a form that uploads a file directly to the bucket."""
    return service.presign_post(body)


@blueprint.get("/<path:key>")
@endpoint(media_types=("*/*",), conditional=True, errors=(503,))
def download_file(key: str) -> Response:
    """Download a file as an attachment, or the part in a Range header."""
    return send(service.get_storage(), key, service.get(key))


@blueprint.delete("/<path:key>")
@endpoint(status=204, errors=(503,))
def delete_file(key: str) -> None:
    """Delete a file."""
    service.delete(key)


@blueprint.get("/<path:key>/url")
@endpoint(returns=UrlOut, errors=(503,))
def presign_download(key: str, query: UrlQuery) -> UrlOut:
    """Create a URL that downloads a file directly from the bucket."""
    return service.presign_get(key, query.expires_in)


@signed.get("/<token>")
@endpoint(media_types=("*/*",), conditional=True, errors=(403, 503))
def download(token: str) -> Response:
    """Download a file by signed URL."""
    key = verify("download", token)["key"]
    return send(service.get_storage(), key, service.get_info(key))


@signed.post("/<token>")
@endpoint(status=204, errors=(403, 503))
def upload(token: str, file: FileStorage) -> None:
    """Upload a file by signed form."""
    claims = verify("upload", token)
    if measure(file.stream) > claims["max_size"]:
        raise RequestEntityTooLarge
    service.get_storage().save(stream=file.stream, **claims["file"])
