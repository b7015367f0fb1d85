"""``/api/v1/uploads``."""

from uuid import UUID

from flask import Blueprint, Response, current_app, send_file, url_for
from werkzeug.datastructures import FileStorage

from app.api import PREFIX, endpoint
from app.errors import unavailable
from app.uploads import service
from app.uploads.schemas import UploadOut

blueprint = Blueprint("uploads", __name__, url_prefix=f"{PREFIX}/uploads")


@blueprint.errorhandler(OSError)
def handle_storage_down(error: OSError) -> Response:
    current_app.logger.error("uploads cannot be stored", exc_info=error)
    return unavailable("Files cannot be stored or read right now. Try again soon.", 30)


@blueprint.post("")
@endpoint(returns=UploadOut, status=201)
def create_upload(file: FileStorage) -> tuple[UploadOut, dict[str, str]]:
    """Upload a file: png, jpg, jpeg, pdf or csv."""
    upload = service.store(file)
    return upload, {"Location": url_for("uploads.get_upload", upload_id=upload.id)}


@blueprint.get("/<uuid:upload_id>")
@endpoint(returns=UploadOut)
def get_upload(upload_id: UUID) -> UploadOut:
    """What is known of an upload."""
    return service.get(upload_id)


@blueprint.get("/<uuid:upload_id>/content")
@endpoint(media_type="application/octet-stream")
def download_upload(upload_id: UUID) -> Response:
    """The file itself, as an attachment."""
    upload = service.get(upload_id)
    content = service.open_content(upload_id)
    return send_file(content, upload.mime, as_attachment=True, download_name=upload.filename)
