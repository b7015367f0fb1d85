"""Numbers in requests, from bytes to an array in one step, and strictly."""

import struct
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from itertools import chain
from typing import Annotated, Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import Field
from werkzeug.exceptions import BadRequest

from app.errors import Invalid, field_error

FloatArray = NDArray[np.float64]

NPY = "application/x-npy"
MAX_ROWS = 512
LARGEST = float(np.finfo(np.float32).max)

#: What reading goes through where a body is not as plain as that.
NOT_PLAIN = (struct.error, LookupError, OverflowError, TypeError, ValueError)

#: By version of NumPy's format.
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

#: A finite number that single precision can hold; text and booleans are none.
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


def read_rows(body: bytes, field: str, columns: int) -> FloatArray | None:
    """The array of a body that is ``{field: [[number, …], …]}`` and nothing else.

    It takes half the time of a model's validation, and leaves to that what is not as plain, or not
    right.

    Returns:
        (n, columns), n from 1 to ``MAX_ROWS``; nothing where the body needs a closer look.
    """
    try:
        rows = read_plain(body, field)
        if len(rows) > MAX_ROWS or set(map(len, rows)) != {columns}:
            return None
        array = pack(chain.from_iterable(rows), len(rows), columns)
    except NOT_PLAIN:
        return None
    return array if are_finite(array) else None


def read_row(body: bytes, field: str, columns: int) -> FloatArray | None:
    """The same of ``{field: [number, …]}``: (1, columns), or nothing."""
    try:
        row = read_plain(body, field)
        # For so few numbers, Python is quicker than NumPy.
        if len(row) != columns or not -LARGEST <= min(row) <= max(row) <= LARGEST:
            return None
        return pack(row, 1, columns)
    except NOT_PLAIN:
        return None


def read_plain(body: bytes, field: str) -> Any:
    """What stands in the only field, whose value has no text in it and no word; ``ValueError``."""
    head, _, tail = body.partition(b"[")
    if b"".join(head.split()) != b'{"%b":' % field.encode():
        raise ValueError("not this field")
    if b'"' in tail or b"t" in tail or b"f" in tail or b"n" in tail:
        raise ValueError("text, true, false or null")
    return orjson.loads(body)[field]


def pack(numbers: Iterable[float], rows: int, columns: int) -> FloatArray:
    """Numbers one after the other as an array; the booleans that it would take are gone already."""
    array = np.frombuffer(struct.pack(f"{rows * columns}d", *numbers))
    return array.reshape(rows, columns)


def read_npy(body: bytes, columns: int) -> FloatArray:
    """An array in NumPy's own format, version 1 or 2, as ``numpy.save`` writes it.

    Args:
        body: (n, columns) float32 or float64, n from 1 to ``MAX_ROWS``. Nothing is unpickled, and
            no more is allocated than was sent.

    Raises:
        werkzeug.exceptions.BadRequest: it is not in this format.
        app.errors.Invalid: shape, type or a value is not taken.
    """
    width = 2 if body[6:7] == b"\1" else 4  # bytes that hold the header's length, by version
    end = 8 + width + int.from_bytes(body[8 : 8 + width], "little")
    shape, fortran_order, dtype = read_header(body[:end])
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        refuse("Send float32 or float64.")
    if len(shape) != 2 or shape[1] != columns or not 1 <= shape[0] <= MAX_ROWS:
        refuse(f"Send an array of 1 to {MAX_ROWS} rows and {columns} columns.")
    data = body[end:]
    if len(data) != shape[0] * columns * dtype.itemsize:
        raise BadRequest("The array is longer or shorter than its header says.")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    numbers = np.ascontiguousarray(array, np.float64)
    if not are_finite(numbers):
        refuse("Send finite numbers that single precision can hold.")
    return numbers


def are_finite(numbers: FloatArray) -> bool:
    """Whether single precision can hold all of them; NaN compares with nothing."""
    return bool((np.abs(numbers) <= LARGEST).all())


@lru_cache(maxsize=MAX_ROWS)
def read_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type. Clients send the same few again and again."""
    stream = BytesIO(header)
    try:
        read = HEADER_READERS[np.lib.format.read_magic(stream)]
        shape, fortran_order, dtype = read(stream)
        if bool in map(type, shape):  # NumPy's parser takes it for a whole number
            raise ValueError("no size")
    except Exception:  # whatever that parser makes of any bytes
        raise BadRequest("The body is not an array in NumPy's .npy format.") from None
    return shape, fortran_order, dtype


def refuse(detail: str) -> NoReturn:
    raise Invalid([field_error("body", detail)])
