"""What models are trained on."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click import ClickException
from numpy.typing import NDArray

from app.serving.arrays import LARGEST, FloatArray


class BadData(ClickException):
    """What was given cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Data:
    """``rows`` is (n, features); ``classes`` (n,) are indices into ``labels``."""

    rows: FloatArray
    classes: NDArray[np.intp]
    features: list[str]
    labels: list[str]


def read_csv(path: Path, features: int, fewest: int) -> Data:
    """A CSV file: a header, then on each line so many numbers and a label.

    Raises:
        BadData: it is not that, has one label only, or one on fewer lines than ``fewest``.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error):
        raise BadData(f"{path} is not a CSV file in UTF-8.") from None
    if len(lines) < 2 or len(lines[0]) != features + 1:
        raise BadData(f"{path}: begin with a header of {features} features and the label.")
    rows = [
        read_line(f"{path}, line {number}", line, features)
        for number, line in enumerate(lines[1:], 2)
    ]
    labels, classes, counts = np.unique(
        [line[-1] for line in lines[1:]], return_inverse=True, return_counts=True
    )
    if len(labels) < 2 or counts.min() < fewest:
        raise BadData(f"{path}: at least two labels are needed, each on {fewest} lines.")
    return Data(np.array(rows), classes, lines[0][:-1], [str(label) for label in labels])


def read_line(where: str, line: list[str], features: int) -> list[float]:
    try:
        numbers = [float(cell) for cell in line[:-1]]
    except ValueError:
        numbers = []
    if len(numbers) != features or not all(abs(number) <= LARGEST for number in numbers):
        raise BadData(f"{where}: {features} finite numbers and a label are due.")
    return numbers
