from typing import Annotated, Any

import torch
from fastapi import FastAPI
from network import classify, load_network
from pydantic import BaseModel, Field, FiniteFloat

Inputs = Annotated[list[FiniteFloat], Field(min_length=10, max_length=10)]


class PredictIn(BaseModel):
    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=512)]


class Prediction(BaseModel):
    class_: int = Field(alias="class")
    confidence: float


class PredictOut(BaseModel):
    device: str
    batch_size: int
    predictions: list[Prediction]


app = FastAPI()
network = load_network()


@app.post("/predict", response_model=PredictOut)
async def predict(body: PredictIn) -> Any:
    rows = torch.tensor(body.inputs, dtype=torch.float32)
    return {"device": "cpu", "batch_size": len(rows), "predictions": classify(network, rows)}
