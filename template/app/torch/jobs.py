"""The job ``torch.predict``: classify many examples in the background."""

from typing import Annotated, Any

import numpy as np
from flask import current_app
from pydantic import Field

from app.api import Schema
from app.celery.execution import progress
from app.celery.registry import at_start, job
from app.serving.arrays import MAX_ROWS
from app.serving.predictions import to_rows
from app.serving.store import ModelError
from app.torch.schemas import Inputs
from app.torch.service import TorchLoader


class PredictJob(Schema):
    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=100_000)]


@job("torch.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """The most likely class of each example, its label and its probability."""
    classifier = current_app.extensions["torch"].get()
    found: list[dict[str, Any]] = []
    for start in range(0, len(given.inputs), MAX_ROWS):
        progress(start / len(given.inputs))
        proba = classifier.predict(np.array(given.inputs[start : start + MAX_ROWS], np.float64))
        found += [
            {"class": row["class"], "label": row["label"], "confidence": row["confidence"]}
            for row in to_rows(proba, classifier.labels, "class")
        ]
    return found


@at_start
def load_model() -> None:
    """Load the model before the first job needs it."""
    loader: TorchLoader = current_app.extensions["torch"]
    loader.load()
