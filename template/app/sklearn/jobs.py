"""The job ``sklearn.predict``: classify many rows in the background."""

from typing import Annotated, Any

from pydantic import Field

from app.api import Schema
from app.celery.registry import job
from app.serving.jobs import MAX_JOB_ROWS, classify
from app.serving.store import ModelError
from app.sklearn.schemas import INDEX, Features


class PredictJob(Schema):
    rows: Annotated[list[Features], Field(min_length=1, max_length=MAX_JOB_ROWS)]


@job("sklearn.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """The most likely label of each row, and its probability."""
    return [
        {"label": found["label"], "confidence": found["confidence"]}
        for found in classify("sklearn", given.rows, INDEX)
    ]
