"""Loading and training the classifier.

Each library is imported only where it is used: with ONNX Runtime, a web process needs no
scikit-learn.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from app.serving.batching import Compute
from app.serving.data import read_csv
from app.serving.models import Classifier, ModelLoader, Progress, packages_required, show_nothing
from app.serving.onnx import load_onnx
from app.serving.store import Manifest, Store

FEATURES = 4
ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
TOLERANCE = 1e-6  # of a probability
STEPS = 3  # of training
#: Default maximum rows of a shared call; see ``app.serving.batching``.
BATCH_ROWS = {"onnx": 1, "sklearn": 64}


class SklearnLoader(ModelLoader):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(Store(config["SKLEARN_MODEL_DIR"], "sklearn"), config)
        self.engine: str = config["SKLEARN_ENGINE"]

    @packages_required()
    def open(self, manifest: Manifest) -> Classifier:
        if self.engine == "onnx":
            load = partial(load_onnx, threads=self.config["SKLEARN_THREADS"])
            compute = self.store.load(manifest, ONNX_FILE, load)
        else:
            compute = self.store.load(manifest, SKOPS_FILE, load_sklearn)
        batch_rows = self.config["SKLEARN_BATCH_ROWS"] or BATCH_ROWS[self.engine]
        return self.make_classifier(compute, manifest, TOLERANCE, batch_rows)

    @packages_required()
    def train(self, data: Path | None = None, done: Progress = show_nothing) -> Manifest:
        from app.sklearn.training import FOLDS, load_sample, train

        dataset = read_csv(data, FEATURES, FOLDS) if data else load_sample()
        return train(self.store, dataset, self.engine, done)


def load_sklearn(content: bytes) -> Compute:
    """The file may only contain types that skops trusts by default, so loading runs no code."""
    from skops.io import loads

    compute: Compute = loads(content, trusted=[]).predict_proba
    return compute
