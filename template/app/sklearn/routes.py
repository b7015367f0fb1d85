"""``/api/v1/sklearn``."""

from functools import partial

import orjson
from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, parse_json
from app.serving.arrays import NPY, FloatArray, read_npy, read_rows
from app.serving.artefact import ModelError
from app.serving.models import handle_no_model
from app.sklearn.schemas import PredictQuery, SklearnIn, SklearnOut, columns_of, rows_of
from app.sklearn.service import FEATURES, SklearnModels

blueprint = Blueprint("sklearn", __name__, url_prefix=f"{PREFIX}/sklearn")
blueprint.register_error_handler(ModelError, handle_no_model)


def read_json(body: bytes) -> SklearnIn | FloatArray:
    rows = read_rows(body, "rows", FEATURES)
    return parse_json(SklearnIn, body) if rows is None else rows


@blueprint.post("/predict")
@endpoint(
    returns=SklearnOut,
    errors=(503,),
    readers={JSON: read_json, NPY: partial(read_npy, columns=FEATURES)},
)
def predict(body: SklearnIn | FloatArray, query: PredictQuery) -> Response:
    """Classify one example or many.

    As ``application/x-npy`` the body is a float32 or float64 array of 1 to 512 rows and four
    columns. ``layout=columns`` answers with a list for each field, which is quicker to read.
    """
    models: SklearnModels = current_app.extensions["sklearn"]
    classifier = models.get()
    rows = body.array() if isinstance(body, SklearnIn) else body
    proba = classifier.predict(rows)
    answer: object
    if query.layout == "columns":
        answer = columns_of(proba, classifier.labels)
    else:
        listed = rows_of(proba, classifier.labels)
        answer = listed[0] if isinstance(body, SklearnIn) and body.features else listed
    return Response(orjson.dumps(answer), content_type=JSON)
