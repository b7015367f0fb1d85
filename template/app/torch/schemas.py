"""What clients send to the classifier, and what they get."""

from typing import Annotated, Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
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


def render(proba: FloatArray, device: str, layout: str) -> bytes:
    """The answer to (n, labels), as JSON. For rows, the parts that repeat are written once."""
    head = b'{"device":%b,"batch_size":%d,' % (orjson.dumps(device), len(proba))
    best, confidence = proba.argmax(axis=1), to_json(proba.max(axis=1))
    if layout == "columns":
        return head + b'"class":%b,"confidence":%b}' % (to_json(best), confidence)
    classes = [b'{"class":%d,"confidence":' % index for index in range(proba.shape[1])]
    shares = confidence[1:-1].split(b",")
    rows = [classes[index] + share for index, share in zip(best.tolist(), shares, strict=True)]
    return head + b'"predictions":[' + b"},".join(rows) + b"}]}"


def to_json(array: NDArray[Any]) -> bytes:
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
# {% if "celery" in components or "socketio" in components %}


def predictions_of(proba: FloatArray) -> list[dict[str, Any]]:
    """A ``TorchPrediction`` for each row of (n, labels), ready for JSON."""
    best, confidence = proba.argmax(axis=1), orjson.loads(to_json(proba.max(axis=1)))
    return [
        {"class": index, "confidence": share}
        for index, share in zip(best.tolist(), confidence, strict=True)
    ]
# {% endif %}
