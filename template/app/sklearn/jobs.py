"""The job ``sklearn.predict``: classify many rows in the background."""

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
from app.sklearn.schemas import Features
from app.sklearn.service import SklearnLoader


class PredictJob(Schema):
    rows: Annotated[list[Features], Field(min_length=1, max_length=100_000)]


@job("sklearn.predict", retry_for=(ModelError,))
def predict(given: PredictJob) -> list[dict[str, Any]]:
    """The most likely label of each row, and its probability."""
    classifier = current_app.extensions["sklearn"].get()
    found: list[dict[str, Any]] = []
    for start in range(0, len(given.rows), MAX_ROWS):
        progress(start / len(given.rows))
        proba = classifier.predict(np.array(given.rows[start : start + MAX_ROWS], np.float64))
        found += [
            {"label": row["label"], "confidence": row["confidence"]}
            for row in to_rows(proba, classifier.labels, "class_index")
        ]
    return found


@at_start
def load_model() -> None:
    """Load the model before the first job needs it."""
    loader: SklearnLoader = current_app.extensions["sklearn"]
    loader.load()
