from typing import Annotated

import bentoml
from classifier import Classifier
from pydantic import BaseModel, Field, FiniteFloat
from settings import BATCHING, SERVICE

Features = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class Prediction(BaseModel):
    label: str
    class_index: int
    confidence: float
    proba: dict[str, float]


@bentoml.service(**SERVICE)
class Iris:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(**BATCHING)
    def predict(self, rows: list[Features]) -> list[Prediction]:
        return self.classifier.predict(rows)
