from typing import Annotated

from classifier import Classifier
from fastapi import FastAPI
from pydantic import BaseModel, Field, FiniteFloat

Features = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class PredictIn(BaseModel):
    features: Features


class PredictManyIn(BaseModel):
    rows: Annotated[list[Features], Field(min_length=1, max_length=512)]


class Prediction(BaseModel):
    label: str
    class_index: int
    confidence: float
    proba: dict[str, float]


app = FastAPI()
classifier = Classifier()


@app.post("/predict")
async def predict(body: PredictIn) -> Prediction:
    return Prediction(**classifier.predict([body.features])[0])


@app.post("/predict-many")
async def predict_many(body: PredictManyIn) -> list[Prediction]:
    return [Prediction(**prediction) for prediction in classifier.predict(body.rows)]
