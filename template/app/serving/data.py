"""Training data."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click import ClickException
from numpy.typing import NDArray

from app.serving.arrays import LARGEST, FloatArray


class DataError(ClickException):
    """The data can't be used for training. The message says why."""


@dataclass(frozen=True)
class Dataset:
    """``rows`` is (n, features); ``classes`` (n,) holds indices into ``labels``."""

    rows: FloatArray
    classes: NDArray[np.intp]
    features: list[str]
    labels: list[str]


def read_csv(path: Path, features: int, minimum: int) -> Dataset:
    """Read a CSV file: a header, then the features and a label on each line.

    Raises:
        DataError: The file has another format, fewer than two labels, or fewer than ``minimum``
            lines for a label.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel writes a BOM
            reader = csv.reader(file)
            header = next(reader, [])
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (OSError, UnicodeError, csv.Error):
        raise DataError(f"{path} is not a CSV file in UTF-8.") from None
    if len(header) != features + 1:
        raise DataError(f"{path}, line 1: Expected the names of {features} features and a label.")
    rows = [read_line(f"{path}, line {number}", cells, features) for number, cells in lines]
    labels, classes, counts = np.unique(
        [cells[-1] for _, cells in lines], return_inverse=True, return_counts=True
    )
    if len(labels) < 2 or counts.min() < minimum:
        raise DataError(f"{path}: At least two labels are required, with {minimum} lines each.")
    return Dataset(np.array(rows), classes, header[:-1], labels.tolist())


def read_line(where: str, cells: list[str], features: int) -> list[float]:
    try:
        numbers = [float(cell) for cell in cells[:-1]]
    except ValueError:
        numbers = []
    if len(numbers) != features or not all(abs(number) <= LARGEST for number in numbers):
        raise DataError(f"{where}: Expected {features} finite numbers and a label.")
    return numbers
