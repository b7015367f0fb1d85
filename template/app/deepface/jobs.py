"""The kind of job ``faces.analyze``."""

from base64 import b64decode
from io import BytesIO
from typing import Annotated, Any

from flask import current_app
from pydantic import Field
from werkzeug.exceptions import HTTPException

from app.api import Schema
from app.celery.execution import JobError
from app.celery.registry import job
from app.deepface.images import read_image
from app.deepface.service import FaceModels

MAX_IMAGE = 5 * 1024 * 1024  # bytes, as the broker carries it


class FacesIn(Schema):
    """An image in Base64."""

    image: Annotated[str, Field(min_length=1, max_length=MAX_IMAGE * 4 // 3)]


@job("faces.analyze")
def analyze_faces(given: FacesIn) -> list[dict[str, Any]]:
    faces: FaceModels = current_app.extensions["deepface"]
    try:
        picture = read_image(BytesIO(b64decode(given.image)), "image")
        return [face.model_dump() for face in faces.analyze(picture)]
    except ValueError:
        raise JobError("image", "The image is not valid Base64.") from None
    except HTTPException as error:
        raise JobError("image", error.description or error.name) from None
