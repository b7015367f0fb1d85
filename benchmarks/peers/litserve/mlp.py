from typing import Annotated, Any

import litserve
import torch
from batches import Batched, run
from network import classify, load_network
from pydantic import BaseModel, Field, FiniteFloat

Inputs = Annotated[list[FiniteFloat], Field(min_length=10, max_length=10)]


class PredictIn(BaseModel):
    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=512)]


class MlpAPI(Batched, litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = load_network().to(device)

    def decode_request(self, request: PredictIn) -> Any:
        return torch.tensor(request.inputs, dtype=torch.float32)

    def join(self, inputs: list[Any]) -> Any:
        return torch.cat(inputs)

    def compute(self, rows: Any) -> list[Any]:
        return classify(self.network, rows)

    def encode_response(self, output: list[Any]) -> Any:
        return {"device": "cpu", "batch_size": len(output), "predictions": output}


if __name__ == "__main__":
    run(MlpAPI)
