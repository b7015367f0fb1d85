"""Training. Only imported to train, because scikit-learn and the ONNX converter are large."""

from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dumps

from app.serving.data import Dataset
from app.serving.models import Progress, check_reference, make_reference, show_nothing
from app.serving.onnx import load_onnx
from app.serving.store import Manifest, Store
from app.sklearn.service import FEATURES, ONNX_FILE, SKOPS_FILE, TOLERANCE

FOLDS = 5
LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx", "skops")


def load_sample() -> Dataset:
    """The iris dataset, which is part of scikit-learn: lengths and widths of 150 flowers in cm."""
    bunch: Any = load_iris()
    return Dataset(bunch.data, bunch.target, list(bunch.feature_names), bunch.target_names.tolist())


def train(
    store: Store, data: Dataset, engine: str = "onnx", done: Progress = show_nothing
) -> Manifest:
    """Train a classifier and store it as the current version.

    Args:
        engine: With ``sklearn``, no ONNX model is exported.

    Raises:
        app.serving.store.ModelError: The ONNX model's answers differ from scikit-learn's.
        OSError: The version can't be written.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = float(cross_val_score(model, data.rows, data.classes, cv=FOLDS).mean())
    done("cross-validation")
    model.fit(data.rows, data.classes)
    reference = make_reference(model.predict_proba, data.rows)
    done("fit")
    files = {SKOPS_FILE: dumps(model)}
    if engine == "onnx":
        files[ONNX_FILE] = export_onnx(model)
        check_reference(load_onnx(files[ONNX_FILE]), reference, TOLERANCE)
    done("export")
    return store.write(files, data, accuracy, reference, LIBRARIES)


def export_onnx(model: Pipeline) -> bytes:
    """In double precision, like scikit-learn."""
    rows = DoubleTensorType([None, FEATURES])
    graph = to_onnx(model, initial_types=[("rows", rows)], options={id(model): {"zipmap": False}})
    content: bytes = graph.SerializeToString()
    return content
