"""The loaded model of an application."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import click
import numpy as np
import structlog
from flask import Flask, Response

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.errors import Invalid, field_error, unavailable
from app.serving.arrays import LARGEST, FloatArray
from app.serving.batching import Batcher, Compute
from app.serving.store import Manifest, ModelError, ModelMissingError, Reference, Store

#: Called with the name of each finished step of training.
Progress = Callable[[str], None]

log = structlog.stdlib.get_logger(__name__)


def show_nothing(step: str) -> None:
    """Training without a progress bar."""


@contextmanager
def packages_required() -> Iterator[None]:
    """Explain what to install if an import fails."""
    try:
        yield
    except ImportError:
        raise ModelError("Packages are missing: pip install '.[train]'.") from None


class Classifier:
    """A loaded model."""

    def __init__(self, compute: Compute, labels: list[str], device: str = "cpu") -> None:
        self.compute = compute
        self.labels = labels
        self.device = device

    def predict(self, rows: FloatArray) -> FloatArray:
        """The probability of each label: (n, features) → (n, labels).

        Raises:
            app.errors.Invalid: The model has no answer for these numbers.
        """
        proba = self.compute(rows)
        if not np.isfinite(proba).all():
            raise Invalid([field_error("body", "The model has no answer for these numbers.")])
        return proba


class ModelLoader(ABC):
    """Loads the model once, when the process starts or when it is first used."""

    def __init__(self, store: Store, config: Mapping[str, Any]) -> None:
        self.store = store
        self.config = config
        self.classifier: Classifier | None = None
        self.lock = Lock()

    @abstractmethod
    def open(self, manifest: Manifest) -> Classifier:
        """Load this version; raises ``ModelError``."""

    @abstractmethod
    def train(self, data: Path | None = None, done: Progress = show_nothing) -> Manifest:
        """Train a version on a CSV file, or on sample data."""

    def load(self) -> None:
        """Load the model before the first request needs it.

        The process starts without a model and loads it once there is one.

        Raises:
            ModelError: There is a model, but it can't serve.
        """
        try:
            self.get()
        except ModelMissingError as error:
            log.warning("no model", reason=error.message)

    def get(self) -> Classifier:
        """The model, loaded by the first caller; raises ``ModelError``."""
        if self.classifier is None:
            with self.lock:
                self.classifier = self.classifier or self.open_current()
        return self.classifier

    def open_current(self) -> Classifier:
        try:
            manifest = self.store.read()
        except ModelMissingError:
            if self.config["APP_ENV"] == "prod":
                raise
            manifest = self.train()  # a fresh checkout works at once
        classifier = self.open(manifest)
        name, version, device = self.store.component, manifest.version, classifier.device
        log.info("model loaded", model=name, version=version, device=device)
        return classifier

    def make_classifier(
        self,
        compute: Compute,
        manifest: Manifest,
        tolerance: float,
        batch_rows: int,
        device: str = "cpu",
    ) -> Classifier:
        """Check the engine's answers, and batch its calls."""
        check_reference(compute, manifest.reference, tolerance)
        batcher = Batcher(compute, self.store.component, batch_rows)
        return Classifier(batcher, manifest.labels, device)


def init_model(app: Flask, loader: ModelLoader) -> None:
    """Load the model at startup, except in tests and commands, which may not need it."""
    name = loader.store.component
    app.extensions[name] = loader
    app.register_error_handler(ModelError, handle_model_error)
    if not app.config["MODELS_AT_START"]:
        return
    # {% if "probes" in components %}
    probes.add_check(app, name, loader.get)
    # {% endif %}
    context = click.get_current_context(silent=True)
    is_command = context is not None and context.info_name != "run"
    if app.config["APP_ENV"] != "test" and not is_command:
        loader.load()


# {% if "celery" in components %}
def load_models(app: Flask) -> None:
    """Load every model of a worker process before its first job needs one."""
    for extension in app.extensions.values():
        if isinstance(extension, ModelLoader):
            extension.load()


# {% endif %}
def handle_model_error(error: ModelError) -> Response:
    """503 for a request whose model is missing or can't serve."""
    log.error("the model can't serve", reason=error.message)
    return unavailable("The model is not ready. Try again soon.", 30)


def make_reference(compute: Compute, rows: FloatArray) -> Reference:
    """Record the model's answers for up to 30 of the rows and for the largest allowed numbers."""
    features = rows.shape[1]
    extremes = [[0.0] * features, [LARGEST] * features, [-LARGEST] * features]
    asked = np.vstack([rows[:: len(rows) // 30 + 1], extremes])
    return Reference(rows=asked.tolist(), proba=compute(asked).tolist())


def check_reference(compute: Compute, reference: Reference, tolerance: float) -> None:
    """Raise ``ModelError`` if probabilities differ from the reference by more than allowed."""
    found, expected = compute(np.array(reference.rows)), np.array(reference.proba)
    if found.shape != expected.shape or not (np.abs(found - expected) <= tolerance).all():
        raise ModelError("The engine's answers differ from those of the trained model.")
