"""The classifier that serves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.serving.artefact import Artefact, Store
from app.serving.batching import Batcher
from app.serving.models import Classifier, Models
from app.sklearn.engines import open_engine

FEATURES = 4
#: Whose version decides how the files are read; another one is refused.
READERS = ("onnxruntime", "scikit-learn")

#: Most rows of a shared call where the settings leave it open: by measurement, batching is of no
#: use to ONNX Runtime, as ``app.serving.batching`` says.
BATCH_ROWS = {"onnx": 1, "sklearn": 64}


def get_store(root: Path) -> Store:
    """All versions of the classifier."""
    return Store(root, "sklearn", FEATURES)


class SklearnModels(Models):
    """Classifiers that were trained with scikit-learn, on either engine."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(get_store(config["SKLEARN_MODEL_DIR"]), config["APP_ENV"] != "prod")
        self.engine: str = config["SKLEARN_ENGINE"]
        self.threads: int = config["SKLEARN_THREADS"]
        self.batch_rows: int = config["SKLEARN_BATCH_ROWS"] or BATCH_ROWS[self.engine]
        self.queue_rows: int = config["SKLEARN_QUEUE_ROWS"]

    def open(self, artefact: Artefact) -> Classifier:
        artefact.check_libraries(READERS)
        compute = open_engine(self.engine, artefact, self.threads)
        batcher = Batcher(compute, "sklearn", self.batch_rows, self.queue_rows)
        return Classifier(batcher, artefact.manifest.labels)

    def train(self) -> None:
        from app.sklearn.training import iris, train

        train(self.store, iris(), self.engine)
