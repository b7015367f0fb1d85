"""The model that serves, whoever asks."""

import os
from abc import ABC, abstractmethod
from math import isfinite
from threading import Lock

import click
import numpy as np
import structlog
from flask import Response

from app.errors import Invalid, field_error, unavailable
from app.serving.arrays import FloatArray
from app.serving.artefact import Artefact, ModelError, ModelMissingError, Reference, Store
from app.serving.batching import Compute

log = structlog.stdlib.get_logger(__name__)


class Classifier:
    """A loaded model."""

    def __init__(self, compute: Compute, labels: list[str], device: str = "cpu") -> None:
        self.compute = compute
        self.labels = labels
        self.device = device

    def predict(self, rows: FloatArray) -> FloatArray:
        """The probabilities of each label: (n, features) → (n, labels).

        Raises:
            app.serving.batching.QueueFull: too many rows wait already.
            app.errors.Invalid: the model has no answer to these very rows.
        """
        proba = self.compute(rows)
        if not isfinite(np.add.reduce(proba, axis=None)):
            raise Invalid([field_error("body", "The model has no answer to these numbers.")])
        return proba


class Models(ABC):
    """The classifier of an application, loaded once, at the start or when it is first there."""

    def __init__(self, store: Store, trains: bool) -> None:
        self.store = store
        self.trains = trains
        self.classifier: Classifier | None = None
        self.lock = Lock()

    @abstractmethod
    def open(self, artefact: Artefact) -> Classifier:
        """The classifier of this version; ``ModelError`` where it cannot serve."""

    @abstractmethod
    def train(self) -> None:
        """Write a first version out of data that everybody has."""

    def start(self) -> None:
        """Load the model, so that no request waits for it.

        Without a model, a process starts and is not ready until there is one. What is there and
        cannot serve keeps it from starting; but not a ``flask`` command, which mends that.
        """
        if is_command():
            return
        try:
            self.get()
        except ModelMissingError as error:
            log.error("the model cannot serve", reason=error.message)

    def get(self) -> Classifier:
        """The classifier, loaded by the first who asks; ``ModelError`` where that is impossible."""
        if self.classifier is None:
            with self.lock:
                self.classifier = self.classifier or self.load()
        return self.classifier

    def load(self) -> Classifier:
        if self.trains and self.store.is_empty:
            self.train_once()
        artefact = self.store.read()
        classifier = self.open(artefact)
        log.info(
            "model loaded",
            model=self.store.component,
            version=artefact.manifest.version,
            device=classifier.device,
        )
        return classifier

    def train_once(self) -> None:
        """In a fresh checkout, so that the service works at once; other processes wait for it."""
        try:
            with self.store.locked():
                if self.store.is_empty:
                    self.train()
        except OSError as error:
            variable = f"{self.store.component.upper()}_MODEL_DIR"
            raise ModelError(f"{variable} cannot be written: {error}") from None


def handle_no_model(error: ModelError) -> Response:
    """503 for a request that needs a model which is not there, or cannot serve."""
    log.error("the model cannot serve", reason=error.message)
    return unavailable("The model is not ready. Try again soon.", 30)


def is_command() -> bool:
    """Whether this process is a ``flask`` command, other than the server of ``flask run``."""
    context = click.get_current_context(silent=True)
    serves = context is not None and context.info_name == "run"
    return "FLASK_RUN_FROM_CLI" in os.environ and not serves


def check_agreement(compute: Compute, reference: Reference, tolerance: float, remedy: str) -> None:
    """Refuse an engine whose probabilities differ from those at training by more than allowed."""
    found = compute(np.array(reference.rows, np.float64))
    if not agrees(found, reference, tolerance):
        raise ModelError(f"The engine does not agree with the model that was trained. {remedy}")


def agrees(found: FloatArray, reference: Reference, tolerance: float) -> bool:
    expected = np.array(reference.proba)
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= tolerance)
