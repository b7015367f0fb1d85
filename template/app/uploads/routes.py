"""``/api/v1/uploads``."""

from uuid import UUID

from flask import Blueprint, Response, url_for
from werkzeug.datastructures import FileStorage

from app.api import PREFIX, endpoint
from app.storage import handle_storage_error, send
from app.uploads import service
from app.uploads.content import MIME_OF_EXTENSION
from app.uploads.schemas import UploadOut

blueprint = Blueprint("uploads", __name__, url_prefix=f"{PREFIX}/uploads")
blueprint.register_error_handler(OSError, handle_storage_error)


@blueprint.post("")
@endpoint(returns=UploadOut, status=201, errors=(503,))
def create_upload(file: FileStorage) -> tuple[UploadOut, dict[str, str]]:
    """Upload a png, jpg, jpeg, pdf or csv file."""
    info = service.store(file)
    return UploadOut.of(info), {"Location": url_for("uploads.get_upload", upload_id=info.key)}


@blueprint.get("/<uuid:upload_id>")
@endpoint(returns=UploadOut, errors=(503,))
def get_upload(upload_id: UUID) -> UploadOut:
    """Get the description of an upload."""
    return UploadOut.of(service.get(upload_id))


@blueprint.get("/<uuid:upload_id>/content")
@endpoint(media_types=sorted(set(MIME_OF_EXTENSION.values())), conditional=True, errors=(503,))
def download_upload(upload_id: UUID) -> Response:
    """Download the file as an attachment, or the part in a Range header."""
    return send(service.get(upload_id), service.get_storage().open)
