"""``/api/v1/sklearn``."""

from functools import partial

from flask import Blueprint, Response, current_app

from app.api import JSON, PREFIX, endpoint, parse_json
from app.serving.answers import Layout, PredictQuery
from app.serving.arrays import NPY, FloatArray, read_npy, read_row, read_rows
from app.serving.artefact import ModelError
from app.serving.models import handle_no_model
from app.sklearn.schemas import SklearnIn, SklearnOut, columns_of, rows_of
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
    single = isinstance(body, SklearnIn) and bool(body.features)
    rows = body.array() if isinstance(body, SklearnIn) else body
    return Response(compute(models, rows, query.layout, single), content_type=JSON)


def answer(models: SklearnModels, body: bytes, media_type: str, layout: Layout) -> bytes | None:
    """The same for a plain body; nothing or an error for anything else."""
    if media_type == NPY:
        return compute(models, read_npy(body, FEATURES), layout)
    row = read_row(body, "features", FEATURES)
    if row is not None:
        return compute(models, row, layout, single=True)
    rows = read_rows(body, "rows", FEATURES)
    return None if rows is None else compute(models, rows, layout)


def compute(models: SklearnModels, rows: FloatArray, layout: Layout, single: bool = False) -> bytes:
    classifier = models.get()
    proba = classifier.predict(rows)
    if layout == "columns":
        return columns_of(proba, classifier.labels)
    listed = rows_of(proba, classifier.labels)
    return listed[0] if single else b"[%b]" % b",".join(listed)
