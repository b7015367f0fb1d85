"""``/api/v1/torch``."""

from functools import partial

from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, parse_json
from app.serving.answers import Layout, PredictQuery
from app.serving.arrays import NPY, FloatArray, read_npy, read_rows
from app.serving.artefact import ModelError
from app.serving.models import handle_no_model
from app.torch.schemas import TorchIn, TorchOut, render
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
    rows = body.array() if isinstance(body, TorchIn) else body
    return Response(compute(models, rows, query.layout), content_type=JSON)


def answer(models: TorchModels, body: bytes, media_type: str, layout: Layout) -> bytes | None:
    """The same for a plain body; nothing or an error for anything else."""
    npy = media_type == NPY
    rows = read_npy(body, INPUTS) if npy else read_rows(body, "inputs", INPUTS)
    return None if rows is None else compute(models, rows, layout)


def compute(models: TorchModels, rows: FloatArray, layout: Layout) -> bytes:
    classifier = models.get()
    return render(classifier.predict(rows), classifier.device, layout)
