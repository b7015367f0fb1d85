"""``/api/v1/sklearn``."""

from functools import partial

import structlog
from flask import Blueprint, Response, current_app
from pydantic_core import to_json

from app.api import PREFIX, endpoint
from app.arrays import NPY, FloatArray, read_npy
from app.errors import unavailable
from app.sklearn.artefact import FEATURES, ModelError
from app.sklearn.schemas import PredictIn, PredictOut, PredictQuery, columns_of, rows_of
from app.sklearn.service import Models

blueprint = Blueprint("sklearn", __name__, url_prefix=f"{PREFIX}/sklearn")

log = structlog.stdlib.get_logger(__name__)


@blueprint.errorhandler(ModelError)
def handle_no_model(error: ModelError) -> Response:
    log.error("the model cannot serve", reason=error.message)
    return unavailable("The model is not ready. Try again soon.", 30)


@blueprint.post("/predict")
@endpoint(returns=PredictOut, errors=(503,), binary={NPY: partial(read_npy, columns=FEATURES)})
def predict(body: PredictIn | FloatArray, query: PredictQuery) -> Response:
    """Classify one example or many.

    As ``application/x-npy`` the body is a float32 or float64 array of 1 to 512 rows and four
    columns. ``layout=columns`` answers with a list for each field, which is quicker to read.
    """
    models: Models = current_app.extensions["sklearn"]
    classifier = models.get()
    rows = body.array() if isinstance(body, PredictIn) else body
    proba = classifier.predict(rows)
    answer: object
    if query.layout == "columns":
        answer = columns_of(proba, classifier.labels)
    else:
        listed = rows_of(proba, classifier.labels)
        answer = listed[0] if isinstance(body, PredictIn) and body.features else listed
    return Response(to_json(answer), mimetype="application/json")
