"""Arrays in NumPy's format."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from werkzeug.exceptions import BadRequest

from app.arrays import LARGEST, MAX_ROWS, read_npy
from app.errors import Invalid


def npy(array: Any, version: tuple[int, int] | None = None, pickled: bool = False) -> bytes:
    stream = BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version, allow_pickle=pickled)
    return stream.getvalue()


def test_an_array_is_read_as_it_was_sent() -> None:
    sent = np.arange(8.0).reshape(2, 4)
    for array in (sent, sent.astype("<f4"), sent.astype(">f8"), np.asfortranarray(sent)):
        for version in ((1, 0), (2, 0)):
            found = read_npy(npy(array, version), 4)
            assert found.dtype == np.float64
            assert found.flags.c_contiguous
            assert np.array_equal(found, sent)


def test_what_is_not_taken_is_refused() -> None:
    cases: list[NDArray[Any]] = [
        np.zeros((1, 3)),
        np.zeros(4),
        np.zeros((1, 1, 4)),
        np.zeros((0, 4)),
        np.zeros((MAX_ROWS + 1, 4)),
        np.zeros((1, 4), np.float16),
        np.zeros((1, 4), np.int64),
        np.zeros((1, 4), bool),
        np.full((1, 4), "1"),
        np.full((1, 4), np.nan),
        np.full((1, 4), -np.inf),
        np.full((1, 4), LARGEST * 1.001),
        np.full((1, 4), object()),
    ]
    for array in cases:
        # An array of objects holds a pickle, which must not be read.
        body = npy(np.full((1, 4), None), pickled=True) if array.dtype == object else npy(array)
        with pytest.raises(Invalid):
            read_npy(body, 4)


def test_what_is_no_array_is_refused() -> None:
    good = npy(np.zeros((2, 4)))
    huge = good.replace(b"(2, 4)", b"(9, 4)")
    odd = [b"", b"{}", good[:20], good[:-1], good + b"\0", huge, b"PK\3\4" + good]
    odd += [good[:6] + b"\3" + good[7:], good.replace(b"'shape'", b"'shap\xff'")]
    odd.append(good.replace(b"{'descr'", b"[[[[[[[["))
    for body in odd:
        with pytest.raises(BadRequest):
            read_npy(body, 4)
