"""Request and response bodies."""

from typing import Annotated

from pydantic import Field, RootModel

from app.api import Schema
from app.serving.arrays import MAX_ROWS, FloatArray, Number, to_array
from app.serving.predictions import Prediction, PredictionColumns
from app.torch.service import INPUTS

INDEX = "class"  # the key of a label's index
Inputs = Annotated[list[Number], Field(min_length=INPUTS, max_length=INPUTS)]


class TorchIn(Schema):
    """The inputs of up to 512 examples."""

    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=MAX_ROWS)]

    def array(self) -> FloatArray:
        """(n, 10)."""
        return to_array(self.inputs)


class TorchPrediction(Prediction):
    class_: int = Field(alias="class")


class Batch(Schema):
    device: str
    batch_size: int


class TorchRows(Batch):
    """A prediction for each example."""

    predictions: list[TorchPrediction]


class TorchColumns(Batch, PredictionColumns):
    """The same as one list per field."""

    class_: list[int] = Field(alias="class")


class TorchOut(RootModel[TorchRows | TorchColumns]):
    """Rows, or columns with ``layout=columns``."""
