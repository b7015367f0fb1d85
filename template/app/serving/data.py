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
    """A CSV file: a header, then on each line so many numbers and a label. Blank lines are skipped.

    Raises:
        BadData: it is not that, has one label only, or one on fewer lines than ``fewest``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel begins with a BOM
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except (OSError, ValueError, csv.Error):
        raise BadData(f"{path} is not a CSV file in UTF-8.") from None
    names = lines.pop(0)[1] if lines else []
    if len(names) != features + 1 or all(map(is_number, names[:-1])):
        raise BadData(
            f"{path}: begin with a header of {features} features and a label, separated by commas."
        )
    rows = [read_line(f"{path}, line {number}", cells, features) for number, cells in lines]
    labels, classes, counts = np.unique(
        [cells[-1] for _, cells in lines], return_inverse=True, return_counts=True
    )
    if len(labels) < 2 or counts.min() < fewest:
        raise BadData(f"{path}: at least two labels are needed, each on {fewest} lines.")
    return Data(np.array(rows), classes, names[:-1], [str(label) for label in labels])


def read_line(where: str, cells: list[str], features: int) -> list[float]:
    *numbers, label = cells
    if len(numbers) != features or not all(map(is_number, numbers)) or not label.strip():
        raise BadData(f"{where}: {features} finite numbers and a label are due.")
    return [float(number) for number in numbers]


def is_number(cell: str) -> bool:
    """Whether single precision can hold it; Python would take 1_0 for ten."""
    try:
        return "_" not in cell and abs(float(cell)) <= LARGEST
    except ValueError:
        return False
