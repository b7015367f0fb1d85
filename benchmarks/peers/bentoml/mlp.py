from typing import Annotated

import bentoml
import torch
from network import classify, load_network
from pydantic import BaseModel, Field, FiniteFloat
from settings import BATCHING, SERVICE

Inputs = Annotated[list[FiniteFloat], Field(min_length=10, max_length=10)]


class Prediction(BaseModel):
    class_: int = Field(alias="class")
    confidence: float


@bentoml.service(**SERVICE)
class Mlp:
    def __init__(self) -> None:
        self.network = load_network()

    @bentoml.api(**BATCHING)
    def predict(self, inputs: list[Inputs]) -> list[Prediction]:
        return classify(self.network, torch.tensor(inputs, dtype=torch.float32))
