"""What clients send to the classifier, and what they get."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, RootModel, model_validator
from pydantic_core import PydanticCustomError

from app.api import Query, Schema
from app.serving.arrays import MAX_ROWS, FloatArray, Number
from app.sklearn.service import FEATURES

Features = Annotated[list[Number], Field(min_length=FEATURES, max_length=FEATURES)]


class SklearnIn(Schema):
    """The features of one example, or the rows of up to 512, each with four numbers."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["features"]}, {"required": ["rows"]}]}
    )

    features: Features = Field(default_factory=list)
    rows: Annotated[list[Features], Field(min_length=1, max_length=MAX_ROWS)] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def check_one_of_them(self) -> Self:
        if bool(self.features) == bool(self.rows):
            raise PydanticCustomError("one_of", "Send either features or rows.")
        return self

    def array(self) -> FloatArray:
        """(n, 4)."""
        return np.array(self.rows or [self.features], np.float64)


class PredictQuery(Query):
    """How the answer to several rows is laid out."""

    layout: Literal["rows", "columns"] = "rows"


class SklearnPrediction(Schema):
    """The likeliest label, its index and probability, and the probability of each label."""

    label: str
    class_index: int
    confidence: float
    proba: dict[str, float]


class SklearnColumns(Schema):
    """The same of many rows, a list for each field."""

    label: list[str]
    class_index: list[int]
    confidence: list[float]
    proba: dict[str, list[float]]


class SklearnOut(RootModel[SklearnPrediction | list[SklearnPrediction] | SklearnColumns]):
    """One prediction for ``features``; for rows a list, or columns where they were asked for."""


def rows_of(proba: FloatArray, labels: list[str]) -> list[dict[str, Any]]:
    """A ``SklearnPrediction`` for each row of (n, labels), ready for JSON."""
    best = proba.argmax(axis=1).tolist()
    return [
        {
            "label": labels[index],
            "class_index": index,
            "confidence": row[index],
            "proba": dict(zip(labels, row, strict=True)),
        }
        for index, row in zip(best, proba.tolist(), strict=True)
    ]


def columns_of(proba: FloatArray, labels: list[str]) -> dict[str, Any]:
    """``SklearnColumns`` of (n, labels), ready for JSON."""
    best = proba.argmax(axis=1).tolist()
    return {
        "label": [labels[index] for index in best],
        "class_index": best,
        "confidence": proba.max(axis=1).tolist(),
        "proba": dict(zip(labels, proba.T.tolist(), strict=True)),
    }
