"""Training. Only what trains imports this module: it takes scikit-learn and the ONNX converter."""

from collections.abc import Callable
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dumps

from app.serving.arrays import LARGEST, FloatArray
from app.serving.artefact import Manifest, Reference, Store
from app.serving.data import Data
from app.serving.models import check_agreement
from app.sklearn.engines import INPUT, ONNX_FILE, REMEDY, SKOPS_FILE, TOLERANCE, onnx_engine
from app.sklearn.service import FEATURES, READERS

FOLDS = 5
KEPT_ROWS = 30
LIBRARIES = (*READERS, "numpy", "onnx", "skl2onnx", "skops")
STEPS = ("cross-validation", "fit", "export", "check")  # what ``done`` is called with, in order


def iris() -> Data:
    """Fisher's iris data, which scikit-learn brings: lengths and widths in cm of 150 flowers."""
    bunch: Any = load_iris()
    labels = [str(name) for name in bunch.target_names]
    return Data(bunch.data, bunch.target, list(bunch.feature_names), labels)


def train(
    store: Store,
    data: Data,
    engine: str = "onnx",
    validate: bool = False,
    done: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Fit a classifier and keep it as the version that serves.

    Args:
        store: where it is kept.
        engine: for ``sklearn``, no ONNX model is made; scikit-learn's own always is.
        validate: whether to measure the accuracy by cross-validation first.
        done: called with each of ``STEPS`` when it is done.

    Raises:
        app.serving.artefact.ModelError: ONNX Runtime does not agree with scikit-learn.
        OSError: the version cannot be written.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = None
    if validate:
        accuracy = float(cross_val_score(model, data.rows, data.classes, cv=FOLDS).mean())
    done("cross-validation")
    model.fit(data.rows, data.classes)
    done("fit")
    files = {SKOPS_FILE: dumps(model)}
    if engine == "onnx":
        files[ONNX_FILE] = export(model)
    done("export")
    if engine == "onnx":
        compute = onnx_engine(files[ONNX_FILE], 1)
        check_agreement(compute, refer(model, data.rows), TOLERANCE, REMEDY)
    kept = data.rows[:: max(1, len(data.rows) // KEPT_ROWS)]
    done("check")
    return store.write(
        files,
        labels=data.labels,
        features=data.features,
        accuracy=accuracy,
        reference=refer(model, kept),
        libraries=LIBRARIES,
    )


def export(model: Pipeline) -> bytes:
    """The fitted model in ONNX, in double precision as scikit-learn computes."""
    graph = to_onnx(
        model,
        initial_types=[(INPUT, DoubleTensorType([None, FEATURES]))],
        options={id(model): {"zipmap": False}},
    )
    content: bytes = graph.SerializeToString()
    return content


def refer(model: Pipeline, rows: FloatArray) -> Reference:
    """What the model answers to rows, and to the extremes that a request may hold."""
    extremes = [[0.0] * FEATURES, [LARGEST] * FEATURES, [-LARGEST] * FEATURES]
    asked = np.vstack([rows, extremes])
    return Reference(rows=asked.tolist(), proba=model.predict_proba(asked).tolist())
