from typing import Annotated, Any

import litserve
import numpy as np
from batches import Batched, run
from classifier import Classifier
from pydantic import BaseModel, Field, FiniteFloat

Features = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class PredictIn(BaseModel):
    features: Features | None = None
    rows: Annotated[list[Features], Field(min_length=1, max_length=512)] | None = None


class IrisAPI(Batched, litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: PredictIn) -> Any:
        return np.array(request.rows or [request.features], dtype=np.float64)

    def join(self, inputs: list[Any]) -> Any:
        return np.concatenate(inputs)

    def compute(self, rows: Any) -> list[Any]:
        return self.classifier.predict(rows)

    def encode_response(self, output: list[Any]) -> Any:
        return output[0] if len(output) == 1 else output


if __name__ == "__main__":
    run(IrisAPI)
