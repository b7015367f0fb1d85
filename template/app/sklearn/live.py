"""The classifier over a connection."""

from typing import Any

import structlog
from flask import current_app
from werkzeug.exceptions import ServiceUnavailable

from app.sklearn.artefact import ModelError
from app.sklearn.schemas import PredictIn, rows_of
from app.socketio.predictions import predictor

log = structlog.stdlib.get_logger(__name__)


@predictor("sklearn")
def predict(body: PredictIn) -> list[dict[str, Any]]:
    try:
        classifier = current_app.extensions["sklearn"].get()
    except ModelError as error:
        log.error("the model cannot serve", reason=error.message)
        raise ServiceUnavailable("The model is not ready. Try again soon.") from None
    return rows_of(classifier.predict(body.array()), classifier.labels)
