"""Loading the classifier, with ONNX Runtime or scikit-learn.

Each library is imported only where it is used: with ONNX Runtime, a web process never imports
scikit-learn.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from app.serving.batching import Compute
from app.serving.models import Classifier, ModelLoader
from app.serving.onnx import load_onnx
from app.serving.store import ModelVersion, Store

FEATURES = 4
ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
INPUT = "features"
TOLERANCE = 1e-6  # of a probability
#: Default maximum rows of a shared call; see ``app.serving.batching``.
BATCH_ROWS = {"onnx": 1, "sklearn": 64}


class SklearnLoader(ModelLoader):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(Store(config["SKLEARN_MODEL_DIR"], "sklearn"), config)

    def open(self, version: ModelVersion) -> Classifier:
        engine = self.config["SKLEARN_ENGINE"]
        if engine == "onnx":
            threads = self.config["SKLEARN_THREADS"]
            compute = version.load(ONNX_FILE, lambda content: load_onnx_model(content, threads))
        else:
            compute = version.load(SKOPS_FILE, load_sklearn_model)
        batch_rows = self.config["SKLEARN_BATCH_ROWS"] or BATCH_ROWS[engine]
        return self.make_classifier(compute, version, TOLERANCE, batch_rows)

    def train(self) -> None:
        from app.sklearn.training import load_sample, train

        train(self.store, load_sample(), self.config["SKLEARN_ENGINE"])


def load_onnx_model(content: bytes, threads: int) -> Compute:
    """In double precision, like scikit-learn."""
    return load_onnx(content, threads, INPUT, np.float64)


def load_sklearn_model(content: bytes) -> Compute:
    """The file may only contain types that skops trusts by default, so loading runs no code."""
    from skops.io import loads

    compute: Compute = loads(content, trusted=[]).predict_proba
    return compute
