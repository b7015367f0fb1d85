"""Predictions as clients receive them."""

from typing import Any, Literal

import numpy as np
import orjson

from app.api import Query, Schema
from app.serving.arrays import FloatArray

Layout = Literal["rows", "columns"]


class PredictQuery(Query):
    """``columns`` answers with one list per field, which is smaller for many rows."""

    layout: Layout = "rows"


class Prediction(Schema):
    """The most likely label with its probability, and the probability of each label."""

    label: str
    confidence: float
    proba: dict[str, float]


class PredictionColumns(Schema):
    """The same for many rows, as one list per field."""

    label: list[str]
    confidence: list[float]
    proba: dict[str, list[float]]


def to_rows(proba: FloatArray, labels: list[str], index_name: str) -> list[dict[str, Any]]:
    """A prediction for each row of (n, labels); ``index_name`` is the key of the label's index."""
    return [
        {
            "label": labels[best],
            index_name: best,
            "confidence": row[best],
            "proba": dict(zip(labels, row)),  # noqa: B905  # the check is slow
        }
        for best, row in zip(proba.argmax(axis=1).tolist(), proba.tolist(), strict=True)
    ]


def to_columns(proba: FloatArray, labels: list[str], index_name: str) -> dict[str, Any]:
    """The same as one list per field."""
    best = proba.argmax(axis=1)
    return {
        "label": [labels[index] for index in best.tolist()],
        index_name: best,
        "confidence": proba.max(axis=1),
        "proba": dict(zip(labels, np.ascontiguousarray(proba.T), strict=True)),
    }


def to_json(document: Any) -> bytes:
    """JSON of documents that may hold NumPy arrays."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
