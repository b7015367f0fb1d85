"""The classifier over a connection."""

from typing import Any

from flask import current_app

from app.socketio.predictions import predictor
from app.torch.schemas import TorchIn, predictions_of


@predictor("torch")
def predict(body: TorchIn) -> list[dict[str, Any]]:
    classifier = current_app.extensions["torch"].get()
    return predictions_of(classifier.predict(body.array()))
