"""The model that serves, whoever asks."""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import structlog

from app.arrays import FloatArray
from app.batching import Batcher, Compute
from app.sklearn.artefact import ModelError, ModelMissingError, one_process, read
from app.sklearn.engines import open_engine

#: Most rows of a shared call where the settings leave it open: by measurement, batching is of no
#: use to ONNX Runtime, as ``app.batching`` says.
BATCH_ROWS = {"onnx": 1, "sklearn": 64}

log = structlog.stdlib.get_logger(__name__)


class Classifier:
    """A loaded model."""

    def __init__(self, compute: Compute, labels: list[str], version: str) -> None:
        self.compute = compute
        self.labels = labels
        self.version = version

    def predict(self, rows: FloatArray) -> FloatArray:
        """The probabilities of each label: (n, 4) → (n, labels).

        Raises:
            app.batching.QueueFull: too many rows wait already.
        """
        return self.compute(rows)


class Models:
    """The classifier of an application, loaded once, at the start or when it is first there."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.root: Path = config["SKLEARN_MODEL_DIR"]
        self.engine: str = config["SKLEARN_ENGINE"]
        self.threads: int = config["SKLEARN_THREADS"]
        self.batch_rows: int = config["SKLEARN_BATCH_ROWS"] or BATCH_ROWS[self.engine]
        self.queue_rows: int = config["SKLEARN_QUEUE_ROWS"]
        self.trains = config["APP_ENV"] != "prod"
        self.classifier: Classifier | None = None
        self.lock = Lock()

    def start(self) -> None:
        """Load the model, so that no request waits for it.

        Without a model, a process starts and is not ready until there is one. What is there and
        cannot serve keeps it from starting; but not the ``flask`` command, which mends that.
        """
        try:
            self.get()
        except ModelError as error:
            mended_by_command = os.environ.get("FLASK_RUN_FROM_CLI")  # Flask sets it
            if not mended_by_command and not isinstance(error, ModelMissingError):
                raise
            log.error("the model cannot serve", reason=error.message)

    def get(self) -> Classifier:
        """The classifier, loaded by the first who asks; ``ModelError`` where that is impossible."""
        if self.classifier is None:
            with self.lock:
                self.classifier = self.classifier or self.load()
        return self.classifier

    def load(self) -> Classifier:
        if self.trains:
            self.create_embedded()
        artefact = read(self.root)
        artefact.check_libraries()
        compute = open_engine(self.engine, artefact, self.threads)
        manifest = artefact.manifest
        log.info("model loaded", version=manifest.version, engine=self.engine)
        batcher = Batcher(compute, "sklearn", self.batch_rows, self.queue_rows)
        return Classifier(batcher, manifest.labels, manifest.version)

    def create_embedded(self) -> None:
        """Train on iris in a fresh checkout, so that the service works at once."""
        if (self.root / "current.json").exists():
            return
        try:
            with one_process(self.root):  # one process trains, others wait
                if not (self.root / "current.json").exists():
                    from app.sklearn.training import iris, train

                    train(self.root, iris(), self.engine)
        except OSError as error:
            raise ModelError(f"SKLEARN_MODEL_DIR cannot be written: {error}") from None
