"""Request and response bodies."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, RootModel, model_validator
from pydantic_core import PydanticCustomError

from app.api import Schema
from app.serving.arrays import MAX_ROWS, FloatArray, Number, to_array
from app.serving.predictions import Prediction, PredictionColumns
from app.sklearn.service import FEATURES

INDEX = "class_index"  # the key of a label's index
Features = Annotated[list[Number], Field(min_length=FEATURES, max_length=FEATURES)]


class SklearnIn(Schema):
    """The features of one example, or ``rows`` with those of up to 512."""

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
        return to_array(self.rows or [self.features])


class SklearnPrediction(Prediction):
    class_index: int


class SklearnColumns(PredictionColumns):
    class_index: list[int]


class SklearnOut(RootModel[SklearnPrediction | list[SklearnPrediction] | SklearnColumns]):
    """One prediction for ``features``; a list for ``rows``, or columns with ``layout=columns``."""
