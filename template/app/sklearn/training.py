"""Training. Only what trains imports this module: it takes scikit-learn and the ONNX converter."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click import ClickException
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dumps

from app.arrays import LARGEST, FloatArray
from app.sklearn.artefact import FEATURES, Manifest, Reference, write
from app.sklearn.engines import INPUT, ONNX_FILE, SKOPS_FILE, check_agreement, onnx_engine

FOLDS = 5
KEPT_ROWS = 30
STEPS = ("cross-validation", "fit", "export", "check")  # what ``done`` is called with, in order


class BadData(ClickException):
    """What was given cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Data:
    """``rows`` is (n, 4); ``classes`` (n,) are indices into ``labels``."""

    rows: FloatArray
    classes: NDArray[np.intp]
    features: list[str]
    labels: list[str]


def iris() -> Data:
    """Fisher's iris data, which scikit-learn brings: lengths and widths in cm of 150 flowers."""
    bunch: Any = load_iris()
    labels = [str(name) for name in bunch.target_names]
    return Data(bunch.data, bunch.target, list(bunch.feature_names), labels)


def read_csv(path: Path) -> Data:
    """A CSV file: a header, then on each line four numbers and a label; ``BadData``."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error):
        raise BadData(f"{path} is not a CSV file in UTF-8.") from None
    if len(lines) < 2 or len(lines[0]) != FEATURES + 1:
        raise BadData(f"{path}: begin with a header of {FEATURES} features and the label.")
    rows = [read_line(f"{path}, line {number}", line) for number, line in enumerate(lines[1:], 2)]
    labels, classes, counts = np.unique(
        [line[-1] for line in lines[1:]], return_inverse=True, return_counts=True
    )
    if len(labels) < 2 or counts.min() < FOLDS:
        raise BadData(f"{path}: at least two labels are needed, each on {FOLDS} lines.")
    return Data(np.array(rows), classes, lines[0][:-1], [str(label) for label in labels])


def read_line(where: str, line: list[str]) -> list[float]:
    try:
        numbers = [float(cell) for cell in line[:-1]]
    except ValueError:
        numbers = []
    if len(numbers) != FEATURES or not all(abs(number) <= LARGEST for number in numbers):
        raise BadData(f"{where}: {FEATURES} finite numbers and a label are due.")
    return numbers


def train(
    root: Path,
    data: Data,
    engine: str = "onnx",
    validate: bool = False,
    done: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Fit a classifier and keep it as the version that serves.

    Args:
        root: the folder of all versions.
        engine: for ``sklearn``, no ONNX model is made; scikit-learn's own always is.
        validate: whether to measure the accuracy by cross-validation first.
        done: called with each of ``STEPS`` when it is done.

    Raises:
        app.sklearn.artefact.ModelError: ONNX Runtime does not agree with scikit-learn.
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
        check_agreement(onnx_engine(files[ONNX_FILE], 1), refer(model, data.rows))
    kept = data.rows[:: max(1, len(data.rows) // KEPT_ROWS)]
    done("check")
    return write(
        root,
        files,
        labels=data.labels,
        features=data.features,
        accuracy=accuracy,
        reference=refer(model, kept),
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
