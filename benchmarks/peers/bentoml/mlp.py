from typing import Annotated

import bentoml
import torch
from network import classify, load_network
from pydantic import Field, FiniteFloat
from settings import BATCHING, SERVICE
from typing_extensions import TypedDict

Inputs = Annotated[list[FiniteFloat], Field(min_length=10, max_length=10)]


Prediction = TypedDict("Prediction", {"class": int, "confidence": float})


@bentoml.service(**SERVICE)
class Mlp:
    def __init__(self) -> None:
        self.network = load_network()

    @bentoml.api(**BATCHING)
    def predict(self, inputs: list[Inputs]) -> list[Prediction]:
        return classify(self.network, torch.tensor(inputs, dtype=torch.float32))
