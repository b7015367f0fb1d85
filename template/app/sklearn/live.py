"""The classifier over a connection."""

from typing import Any

import orjson
from flask import current_app

from app.sklearn.schemas import SklearnIn, rows_of
from app.socketio.predictions import predictor


@predictor("sklearn")
def predict(body: SklearnIn) -> list[dict[str, Any]]:
    classifier = current_app.extensions["sklearn"].get()
    rows = rows_of(classifier.predict(body.array()), classifier.labels)
    return [orjson.loads(row) for row in rows]
