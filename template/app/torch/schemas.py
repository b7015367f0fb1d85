"""What clients send to the classifier, and what they get."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, RootModel

from app.api import Query, Schema
from app.serving.arrays import MAX_ROWS, FloatArray, Number
from app.torch.service import INPUTS

Inputs = Annotated[list[Number], Field(min_length=INPUTS, max_length=INPUTS)]


class TorchIn(Schema):
    """The inputs of up to 512 examples, each of ten numbers."""

    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=MAX_ROWS)]

    def array(self) -> FloatArray:
        """(n, 10)."""
        return np.array(self.inputs, np.float64)


class PredictQuery(Query):
    """How the answer is laid out."""

    layout: Literal["rows", "columns"] = "rows"


class TorchPrediction(Schema):
    """The index of the likeliest label, and its probability."""

    class_: int = Field(alias="class")
    confidence: float


class TorchRows(Schema):
    """A prediction for each example, in their order, and the device that computed them."""

    device: str
    batch_size: int
    predictions: list[TorchPrediction]


class TorchColumns(Schema):
    """The same, with a list for each field."""

    device: str
    batch_size: int
    class_: list[int] = Field(alias="class")
    confidence: list[float]


class TorchOut(RootModel[TorchRows | TorchColumns]):
    """Rows, or columns where they were asked for."""


def rows_of(proba: FloatArray) -> dict[str, Any]:
    """The ``predictions`` of (n, labels), ready for JSON."""
    best, confidence = proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist()
    return {
        "predictions": [
            {"class": index, "confidence": share}
            for index, share in zip(best, confidence, strict=True)
        ]
    }


def columns_of(proba: FloatArray) -> dict[str, Any]:
    """The columns of (n, labels), ready for JSON."""
    return {"class": proba.argmax(axis=1).tolist(), "confidence": proba.max(axis=1).tolist()}
