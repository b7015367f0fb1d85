"""``/api/v1/files``, and ``/signed``, where files in a folder are reached by signed URLs."""

from flask import Blueprint, Response, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.api import PREFIX, endpoint
from app.s3 import service
from app.s3.local import verify
from app.s3.schemas import FileOut, PresignedPost, PresignedPostIn, UrlOut, UrlQuery
from app.storage import FileInfo, handle_storage_error, measure, send

blueprint = Blueprint("files", __name__, url_prefix=f"{PREFIX}/files")
signed = Blueprint("signed", __name__, url_prefix="/signed")
for each in (blueprint, signed):
    each.register_error_handler(OSError, handle_storage_error)
    each.before_request(service.allow_large_files)


@blueprint.post("")
@endpoint(returns=FileOut, status=201, errors=(503,))
def create_file(file: FileStorage) -> tuple[FileInfo, dict[str, str]]:
    """Upload a file."""
    info = service.store(file)
    return info, {"Location": url_for("files.download_file", key=info.key)}


@blueprint.post("/presigned")
@endpoint(returns=PresignedPost, status=201, errors=(503,))
def presign_upload(body: PresignedPostIn) -> PresignedPost:
    """Create a form that uploads a file directly to the bucket."""
    return service.presign_post(body)


@blueprint.get("/<path:key>")
@endpoint(media_types=("*/*",), conditional=True, errors=(503,))
def download_file(key: str) -> Response:
    """Download a file as an attachment, or the part in a Range header."""
    return send(service.get(key), service.get_storage().open)


@blueprint.delete("/<path:key>")
@endpoint(status=204, errors=(503,))
def delete_file(key: str) -> None:
    """Delete a file."""
    service.get_storage().delete(service.get(key).key)


@blueprint.get("/<path:key>/url")
@endpoint(returns=UrlOut, errors=(503,))
def presign_download(key: str, query: UrlQuery) -> UrlOut:
    """Create a URL that downloads a file directly from the bucket."""
    url = service.get_storage().presign_get(service.get(key).key, query.expires_in)
    return UrlOut(url=url, expires_in=query.expires_in)


@signed.get("/<token>")
@endpoint(media_types=("*/*",), conditional=True, errors=(403, 503))
def download(token: str) -> Response:
    """Download a file by signed URL."""
    return send(service.find(verify("download", token)), service.get_storage().open)


@signed.post("/<token>")
@endpoint(status=204, errors=(403, 503))
def upload(token: str, file: FileStorage) -> None:
    """Upload a file by signed form."""
    info = FileInfo.model_validate(verify("upload", token))
    size, max_size = measure(file.stream), info.size
    if size > max_size:
        raise RequestEntityTooLarge
    service.get_storage().save(info.model_copy(update={"size": size}), file.stream)
