"""``/api/v1/faces``."""

import structlog
from flask import Blueprint, Response, current_app
from werkzeug.datastructures import FileStorage

from app.api import PREFIX, endpoint
from app.deepface.images import Picture, read_image
from app.deepface.schemas import Analysis, Verification
from app.deepface.service import FaceModels
from app.deepface.weights import WeightsError
from app.errors import unavailable

blueprint = Blueprint("faces", __name__, url_prefix=f"{PREFIX}/faces")

log = structlog.stdlib.get_logger(__name__)


@blueprint.errorhandler(WeightsError)
def handle_no_weights(error: WeightsError) -> Response:
    log.error("face models cannot be loaded", reason=error.message)
    return unavailable("Face models are not ready. Try again soon.", 30)


@blueprint.errorhandler(OSError)
def handle_full_disk(error: OSError) -> Response:
    log.error("an image cannot be received", exc_info=error)
    return unavailable("Images cannot be received right now. Try again soon.", 30)


@blueprint.post("/analyze")
@endpoint(returns=Analysis, errors=(503,))
def analyze(image: FileStorage) -> Analysis:
    """Estimate age, gender and emotion of every face in an image.

    Send a JPEG, PNG or WebP image. The answers are estimates of models, not facts about people.
    """
    faces: FaceModels = current_app.extensions["deepface"]
    return Analysis(faces=faces.analyze(read(image, "image")))


@blueprint.post("/verify")
@endpoint(returns=Verification, errors=(503,))
def verify(image1: FileStorage, image2: FileStorage) -> Verification:
    """Tell whether two images show the same person.

    Where an image shows several faces, the largest counts.
    """
    faces: FaceModels = current_app.extensions["deepface"]
    return faces.verify(read(image1, "image1"), read(image2, "image2"))


def read(file: FileStorage, field: str) -> Picture:
    return read_image(file.stream, field)  # type: ignore[arg-type]
