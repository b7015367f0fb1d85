"""``/api/v1/uploads``."""

from uuid import UUID

from flask import Blueprint, Response, current_app, send_file, url_for
from werkzeug.datastructures import FileStorage

from app.api import PREFIX, endpoint
from app.errors import unavailable
from app.uploads import service
from app.uploads.content import MIME_OF_EXTENSION
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
@endpoint(media_types=sorted(set(MIME_OF_EXTENSION.values())), conditional=True)
def download_upload(upload_id: UUID) -> Response:
    """The file itself, as an attachment, or a part of it (``Range``)."""
    upload = service.get(upload_id)
    response = send_file(
        service.content_path(upload_id).absolute(),  # a relative one is not taken from here
        as_attachment=True,
        download_name=upload.filename,
        etag=upload.sha256,
    )
    response.content_type = upload.mime  # no charset: which one a text is in, nobody has said
    return response
