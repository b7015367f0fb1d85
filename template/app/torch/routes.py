"""``/api/v1/torch``."""

from typing import Any

from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, read_body
from app.serving.arrays import NPY, FloatArray, read_npy
from app.serving.models import Classifier
from app.serving.predictions import Layout, PredictQuery, to_columns, to_json, to_rows
from app.torch.schemas import INDEX, TorchIn, TorchOut
from app.torch.service import INPUTS

blueprint = Blueprint("torch", __name__, url_prefix=f"{PREFIX}/torch")


@blueprint.post("/predict")
@endpoint(returns=TorchOut, errors=(503,), body_types=(NPY,))
def predict(body: TorchIn | None, query: PredictQuery) -> Response:
    """Classify up to 512 examples.

    As `application/x-npy`, the body is a float32 or float64 array with ten columns.
    """
    classifier: Classifier = current_app.extensions["torch"].get()
    rows = body.array() if body else read_npy(read_body(), INPUTS)
    return Response(answer(classifier, rows, query.layout), content_type=JSON)


def answer(classifier: Classifier, rows: FloatArray, layout: Layout = "rows") -> bytes:
    proba = classifier.predict(rows)
    document: dict[str, Any] = {"device": classifier.device, "batch_size": len(rows)}
    if layout == "columns":
        document |= to_columns(proba, classifier.labels, INDEX)
    else:
        document["predictions"] = to_rows(proba, classifier.labels, INDEX)
    return to_json(document)
