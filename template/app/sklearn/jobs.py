"""The kind ``sklearn.predict``: many rows in the background."""

from typing import Annotated, Any

import numpy as np
from flask import current_app
from pydantic import Field

from app.api import Schema
from app.celery.execution import progress
from app.celery.registry import at_start, job
from app.serving.arrays import MAX_ROWS
from app.serving.artefact import ModelError
from app.sklearn.schemas import Features
from app.sklearn.service import SklearnModels


class PredictJob(Schema):
    """Rows of four numbers each."""

    rows: Annotated[list[Features], Field(min_length=1, max_length=100_000)]


@job("sklearn.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """A label and its probability for each row."""
    classifier = current_app.extensions["sklearn"].get()
    found: list[dict[str, Any]] = []
    for start in range(0, len(given.rows), MAX_ROWS):
        progress(start / len(given.rows))
        proba = classifier.predict(np.array(given.rows[start : start + MAX_ROWS], np.float64))
        found += [
            {"label": classifier.labels[index], "confidence": confidence}
            for index, confidence in zip(
                proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist(), strict=True
            )
        ]
    return found


@at_start
def load_model() -> None:
    """Load the model, so that no job waits for it."""
    models: SklearnModels = current_app.extensions["sklearn"]
    models.warm()
