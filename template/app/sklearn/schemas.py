"""What clients send to the classifier, and what they get."""

from functools import lru_cache
from typing import Annotated, Self

import numpy as np
from pydantic import ConfigDict, Field, RootModel, model_validator
from pydantic_core import PydanticCustomError

from app.api import Schema
from app.serving.answers import to_json
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


def rows_of(proba: FloatArray, labels: list[str]) -> list[bytes]:
    """The JSON of a ``SklearnPrediction`` for each row of (n, labels)."""
    forms, width = forms_of(tuple(labels)), len(labels)
    shares = to_json(proba.ravel())[1:-1].split(b",")
    starts = range(0, len(shares), width)
    return [
        forms[best] % (shares[start + best], *shares[start : start + width])
        for best, start in zip(proba.argmax(axis=1).tolist(), starts, strict=True)
    ]


@lru_cache
def forms_of(labels: tuple[str, ...]) -> list[bytes]:
    """For each label the JSON of its prediction, which lacks but the confidence and the
    probabilities: what is alike in all rows is written once.
    """
    names = [to_json(label).replace(b"%", b"%%") for label in labels]
    proba = b"{" + b",".join(name + b":%b" for name in names) + b"}"
    form = b'{"label":%b,"class_index":%d,"confidence":%%b,"proba":%b}'
    return [form % (name, index, proba) for index, name in enumerate(names)]


def columns_of(proba: FloatArray, labels: list[str]) -> bytes:
    """The JSON of ``SklearnColumns`` of (n, labels)."""
    best = proba.argmax(axis=1)
    columns = {
        "label": [labels[index] for index in best.tolist()],
        "class_index": best,
        "confidence": proba.max(axis=1),
        "proba": dict(zip(labels, np.ascontiguousarray(proba.T), strict=True)),
    }
    return to_json(columns)
