"""The job ``torch.predict``: classify many examples in the background."""

from typing import Annotated, Any

from pydantic import Field

from app.api import Schema
from app.celery.registry import job
from app.serving.jobs import MAX_JOB_ROWS, classify
from app.serving.store import ModelError
from app.torch.schemas import INDEX, Inputs


class PredictJob(Schema):
    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=MAX_JOB_ROWS)]


@job("torch.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """The most likely class of each example, its label and its probability."""
    return [
        {"class": found["class"], "label": found["label"], "confidence": found["confidence"]}
        for found in classify("torch", given.inputs, INDEX)
    ]
