"""What clients send to the classifier, and what they get."""

# {% if "celery" in components %}
from typing import Annotated, Any
# {% else %}
from typing import Annotated
# {% endif %}

import numpy as np
import orjson
from pydantic import Field, RootModel

from app.api import Schema
from app.serving.answers import Layout, to_json
from app.serving.arrays import MAX_ROWS, FloatArray, Number
from app.torch.service import INPUTS

Inputs = Annotated[list[Number], Field(min_length=INPUTS, max_length=INPUTS)]


class TorchIn(Schema):
    """The inputs of up to 512 examples, each of ten numbers."""

    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=MAX_ROWS)]

    def array(self) -> FloatArray:
        """(n, 10)."""
        return np.array(self.inputs, np.float64)


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


def render(proba: FloatArray, device: str, layout: Layout) -> bytes:
    """The answer to (n, labels), as JSON. For rows, the parts that repeat are written once."""
    head = b'{"device":%b,"batch_size":%d,' % (orjson.dumps(device), len(proba))
    best, confidence = proba.argmax(axis=1), to_json(proba.max(axis=1))
    if layout == "columns":
        return head + b'"class":%b,"confidence":%b}' % (to_json(best), confidence)
    classes = [b'{"class":%d,"confidence":' % index for index in range(proba.shape[1])]
    shares = confidence[1:-1].split(b",")
    rows = [classes[index] + share for index, share in zip(best.tolist(), shares, strict=True)]
    return head + b'"predictions":[' + b"},".join(rows) + b"}]}"
# {% if "celery" in components %}


def predictions_of(proba: FloatArray) -> list[dict[str, Any]]:
    """A ``TorchPrediction`` for each row of (n, labels), ready for JSON."""
    best, confidence = proba.argmax(axis=1), orjson.loads(to_json(proba.max(axis=1)))
    return [
        {"class": index, "confidence": share}
        for index, share in zip(best.tolist(), confidence, strict=True)
    ]
# {% endif %}
