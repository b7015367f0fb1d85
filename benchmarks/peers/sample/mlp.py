"""Serves PyTorch like typical Flask sample code: ``request.get_json``, a Pydantic model built from
the dict, ``torch.tensor`` of lists, one forward pass per request, ``jsonify``.
"""

from typing import Annotated, Any

import torch
from flask import Flask, jsonify, request
from network import load_network
from pydantic import BaseModel, Field, ValidationError

Inputs = Annotated[list[float], Field(min_length=10, max_length=10)]


class BatchIn(BaseModel):
    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=512)]


def create_app() -> Flask:
    app = Flask(__name__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    app.config["MODEL"] = load_network().to(device)
    app.config["DEVICE"] = device

    @app.post("/predict")
    def predict() -> Any:
        try:
            payload = BatchIn(**(request.get_json() or {}))
        except ValidationError as error:
            return jsonify(errors=error.errors()), 400
        x = torch.tensor(payload.inputs, dtype=torch.float32, device=app.config["DEVICE"])
        with torch.no_grad():
            proba = torch.softmax(app.config["MODEL"](x), dim=-1)
            confidence, best = proba.max(dim=-1)
        return jsonify(
            device=str(app.config["DEVICE"]),
            batch_size=x.shape[0],
            predictions=[
                {"class": int(index), "confidence": float(share)}
                for index, share in zip(best.tolist(), confidence.tolist(), strict=True)
            ],
        )

    return app


app = create_app()
