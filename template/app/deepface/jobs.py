"""The kind of job ``faces.analyze``."""

from io import BytesIO
from typing import Annotated, Any

from pydantic import Base64Bytes, Field
from werkzeug.exceptions import HTTPException

from app.api import Schema
from app.celery.execution import JobError
from app.celery.registry import job
from app.deepface.images import read_image
from app.deepface.service import get_models

MAX_IMAGE = 5 * 1024 * 1024  # bytes, as the broker carries it


class FacesIn(Schema):
    """An image in Base64."""

    image: Annotated[Base64Bytes, Field(min_length=1, max_length=MAX_IMAGE)]


@job("faces.analyze")
def analyze_faces(body: FacesIn) -> list[dict[str, Any]]:
    try:
        picture = read_image(BytesIO(body.image), "image")
        return [face.model_dump() for face in get_models().analyze(picture)]
    except HTTPException as error:
        raise JobError("image", error.description or error.name) from None
