"""``/api/v1/torch``."""

from functools import partial

import orjson
from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, parse_json
from app.serving.arrays import NPY, FloatArray, read_npy, read_rows
from app.serving.artefact import ModelError
from app.serving.models import handle_no_model
from app.torch.schemas import PredictQuery, TorchIn, TorchOut, columns_of, rows_of
from app.torch.service import INPUTS, TorchModels

blueprint = Blueprint("torch", __name__, url_prefix=f"{PREFIX}/torch")
blueprint.register_error_handler(ModelError, handle_no_model)


def read_json(body: bytes) -> FloatArray:
    rows = read_rows(body, "inputs", INPUTS)
    return parse_json(TorchIn, body).array() if rows is None else rows


@blueprint.post("/predict")
@endpoint(
    returns=TorchOut,
    errors=(503,),
    readers={JSON: read_json, NPY: partial(read_npy, columns=INPUTS)},
)
def predict(body: TorchIn | FloatArray, query: PredictQuery) -> Response:
    """Classify up to 512 examples.

    As ``application/x-npy`` the body is a float32 or float64 array of 1 to 512 rows and ten
    columns. ``layout=columns`` answers with a list for each field, which is quicker to read.
    """
    models: TorchModels = current_app.extensions["torch"]
    classifier = models.get()
    rows = body.array() if isinstance(body, TorchIn) else body
    proba = classifier.predict(rows)
    laid_out = columns_of(proba) if query.layout == "columns" else rows_of(proba)
    answer = {"device": classifier.device, "batch_size": len(rows), **laid_out}
    return Response(orjson.dumps(answer), content_type=JSON)
