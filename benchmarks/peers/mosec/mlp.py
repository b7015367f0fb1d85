from typing import Annotated, Any

import msgspec
import torch
from network import classify, load_network
from serving import JsonWorker, Number, serve, split

Inputs = Annotated[list[Number], msgspec.Meta(min_length=10, max_length=10)]


class PredictIn(msgspec.Struct):
    inputs: Annotated[list[Inputs], msgspec.Meta(min_length=1, max_length=512)]


class Mlp(JsonWorker):
    schema = PredictIn

    def __init__(self) -> None:
        super().__init__()
        self.network = load_network()

    def forward(self, data: list[PredictIn]) -> list[Any]:
        rows = torch.tensor([row for body in data for row in body.inputs], dtype=torch.float32)
        parts = split(classify(self.network, rows), [len(body.inputs) for body in data])
        return [{"device": "cpu", "batch_size": len(part), "predictions": part} for part in parts]


if __name__ == "__main__":
    serve(Mlp)
