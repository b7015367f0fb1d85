"""The kind ``torch.predict``: many examples in the background."""

from typing import Annotated, Any

import numpy as np
from flask import current_app
from pydantic import Field

from app.api import Schema
from app.celery.execution import progress
from app.celery.registry import at_start, job
from app.serving.arrays import MAX_ROWS
from app.serving.artefact import ModelError
from app.torch.schemas import Inputs, predictions_of
from app.torch.service import TorchModels


class PredictJob(Schema):
    """Examples of ten numbers each."""

    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=100_000)]


@job("torch.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """A class and its probability for each example."""
    classifier = current_app.extensions["torch"].get()
    found: list[dict[str, Any]] = []
    for start in range(0, len(given.inputs), MAX_ROWS):
        progress(start / len(given.inputs))
        proba = classifier.predict(np.array(given.inputs[start : start + MAX_ROWS], np.float64))
        found += predictions_of(proba)
    return found


@at_start
def load_model() -> None:
    """Load the model, so that no job waits for it."""
    models: TorchModels = current_app.extensions["torch"]
    models.warm()
