"""``/api/v1/faces``."""

import structlog
from flask import Blueprint, Response
from werkzeug.datastructures import FileStorage

from app.api import PREFIX, endpoint
from app.deepface.images import read_image
from app.deepface.schemas import Analysis, Verification
from app.deepface.service import get_models
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
    return Analysis(faces=get_models().analyze(read_image(image.stream, "image")))


@blueprint.post("/verify")
@endpoint(returns=Verification, errors=(503,))
def verify(image1: FileStorage, image2: FileStorage) -> Verification:
    """Tell whether two images show the same person.

    If an image shows several faces, the largest is compared.
    """
    first, second = read_image(image1.stream, "image1"), read_image(image2.stream, "image2")
    return get_models().verify(first, second)
