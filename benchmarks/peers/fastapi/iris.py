from typing import Annotated, Any

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


@app.post("/predict", response_model=Prediction)
async def predict(body: PredictIn) -> Any:
    return classifier.predict([body.features])[0]


@app.post("/predict-many", response_model=list[Prediction])
async def predict_many(body: PredictManyIn) -> Any:
    return classifier.predict(body.rows)
