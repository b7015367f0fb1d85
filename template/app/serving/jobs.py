"""Predictions for many rows in the background."""

from collections.abc import Iterator
from typing import Any

from flask import current_app

from app.celery.execution import progress
from app.serving.arrays import MAX_ROWS, to_array
from app.serving.predictions import to_rows

MAX_JOB_ROWS = 100_000


def classify(component: str, rows: list[list[float]], index_name: str) -> Iterator[dict[str, Any]]:
    """A prediction for each row, as ``to_rows`` makes them; reports the job's progress."""
    classifier = current_app.extensions[component].get()
    for start in range(0, len(rows), MAX_ROWS):
        progress(start / len(rows))
        proba = classifier.predict(to_array(rows[start : start + MAX_ROWS]))
        yield from to_rows(proba, classifier.labels, index_name)
