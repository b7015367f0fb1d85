"""Serves scikit-learn like typical Flask sample code: ``request.get_json``, a Pydantic model built
from the dict, one call of the model per request, ``jsonify``.
"""

import os
from typing import Annotated, Any

import joblib
import numpy as np
from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, Field, ValidationError

Features = Annotated[list[float], Field(min_length=4, max_length=4)]


class PredictIn(BaseModel):
    features: Features


class PredictManyIn(BaseModel):
    rows: Annotated[list[Features], Field(min_length=1, max_length=512)]


def create_app() -> Flask:
    app = Flask(__name__)
    bundle = joblib.load(os.path.join(os.environ["MODELS"], "iris.joblib"))
    app.config["MODEL"] = bundle["model"]
    app.config["LABELS"] = bundle["labels"]

    @app.post("/predict")
    def predict() -> Any:
        try:
            payload = PredictIn(**(request.get_json() or {}))
        except ValidationError as error:
            return jsonify(errors=error.errors()), 400
        x = np.asarray(payload.features, dtype=np.float64).reshape(1, -1)
        return jsonify(describe(app, app.config["MODEL"].predict_proba(x)[0]))

    @app.post("/predict-many")  # not part of typical sample code
    def predict_many() -> Any:
        try:
            payload = PredictManyIn(**(request.get_json() or {}))
        except ValidationError as error:
            return jsonify(errors=error.errors()), 400
        x = np.asarray(payload.rows, dtype=np.float64)
        answer: Response = jsonify([describe(app, row) for row in predict_proba(app, x)])
        return answer

    return app


def predict_proba(app: Flask, x: Any) -> Any:
    return app.config["MODEL"].predict_proba(x)


def describe(app: Flask, proba: Any) -> dict[str, Any]:
    labels = app.config["LABELS"]
    best = int(np.argmax(proba))
    return {
        "label": labels[best],
        "class_index": best,
        "confidence": float(proba[best]),
        "proba": {labels[index]: float(share) for index, share in enumerate(proba)},
    }


app = create_app()
