"""Numbers in requests."""

from io import BytesIO
from itertools import chain
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from werkzeug.exceptions import BadRequest

from app.errors import Invalid, field_error

FloatArray = NDArray[np.floating[Any]]

NPY = "application/x-npy"
MAX_ROWS = 512
LARGEST = float(np.finfo(np.float32).max)

#: A finite number that fits in single precision.
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


def to_array(rows: list[list[float]]) -> FloatArray:
    """Rows of equal length as (n, columns); in less time than ``np.array`` needs."""
    shape = len(rows), len(rows[0])
    return np.fromiter(chain.from_iterable(rows), np.float64, shape[0] * shape[1]).reshape(shape)


def read_npy(body: bytes, columns: int) -> FloatArray:
    """Read an array in NumPy's ``.npy`` format, as written by ``numpy.save``.

    Args:
        body: A float32 or float64 array of shape (n, columns), with n from 1 to ``MAX_ROWS``.

    Raises:
        werkzeug.exceptions.BadRequest: The body is not in this format.
        app.errors.Invalid: The array has the wrong shape or type, or a number is out of range.
    """
    try:
        array = np.load(BytesIO(body), allow_pickle=False)
    except Exception:  # NumPy documents only some of what its parser raises
        raise BadRequest("The body is not an array in NumPy's .npy format.") from None
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
        raise Invalid([field_error("body", "Must be a float32 or float64 array.")])
    if array.ndim != 2 or array.shape[1] != columns or not 1 <= len(array) <= MAX_ROWS:
        detail = f"Must have 1 to {MAX_ROWS} rows and {columns} columns."
        raise Invalid([field_error("body", detail)])
    if not (np.abs(array) <= LARGEST).all():  # also false for NaN
        raise Invalid([field_error("body", "Must hold finite single-precision numbers.")])
    return array.astype(np.float64, order="C")
