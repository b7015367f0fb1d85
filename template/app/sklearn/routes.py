"""``/api/v1/sklearn``."""

from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, read_body
from app.serving.arrays import NPY, read_npy
from app.serving.models import Classifier
from app.serving.predictions import PredictQuery, to_columns, to_json, to_rows
from app.sklearn.schemas import INDEX, SklearnIn, SklearnOut
from app.sklearn.service import FEATURES

blueprint = Blueprint("sklearn", __name__, url_prefix=f"{PREFIX}/sklearn")


@blueprint.post("/predict")
@endpoint(returns=SklearnOut, errors=(503,), body_types=(NPY,))
def predict(body: SklearnIn | None, query: PredictQuery) -> Response:
    """Classify one example, or up to 512.

    As `application/x-npy`, the body is a float32 or float64 array with four columns.
    """
    classifier: Classifier = current_app.extensions["sklearn"].get()
    if body and query.layout == "rows":
        return Response(answer(classifier, body), content_type=JSON)
    rows = body.array() if body else read_npy(read_body(), FEATURES)
    form = to_columns if query.layout == "columns" else to_rows
    document = form(classifier.predict(rows), classifier.labels, INDEX)
    return Response(to_json(document), content_type=JSON)


def answer(classifier: Classifier, body: SklearnIn) -> bytes:
    """The JSON of one prediction for ``features``, of a list for ``rows``."""
    predictions = to_rows(classifier.predict(body.array()), classifier.labels, INDEX)
    return to_json(predictions[0] if body.features else predictions)
