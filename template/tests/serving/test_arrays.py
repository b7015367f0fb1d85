"""Arrays from JSON and from NumPy's format."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from werkzeug.exceptions import BadRequest

from app.errors import Invalid
from app.serving.arrays import LARGEST, MAX_ROWS, read_npy, to_array


def npy(array: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_rows_become_an_array() -> None:
    found = to_array([[1, 2.5], [-0.0, 1e300], [3, 4]])
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 2.5], [0, 1e300], [3, 4]]


def test_array_keeps_its_values() -> None:
    sent = np.arange(8.0).reshape(2, 4)
    for array in (sent, sent.astype(np.float32), np.asfortranarray(sent)):
        found = read_npy(npy(array), 4)
        assert found.dtype == np.float64
        assert np.array_equal(found, sent)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 3)),
        np.zeros(4),
        np.zeros((1, 1, 4)),
        np.zeros((0, 4)),
        np.zeros((MAX_ROWS + 1, 4)),
        np.zeros((1, 4), np.float16),
        np.zeros((1, 4), np.int64),
        np.full((1, 4), "1"),
        np.full((1, 4), np.nan),
        np.full((1, 4), -np.inf),
        np.full((1, 4), LARGEST * 1.001),
    ],
)
def test_invalid_array_is_422(array: NDArray[Any]) -> None:
    with pytest.raises(Invalid):
        read_npy(npy(array), 4)


def test_anything_else_is_400() -> None:
    good = npy(np.zeros((2, 4)))
    archive = BytesIO()
    np.savez(archive, good)
    pickled = npy(np.full((1, 4), None))
    claims_more = good.replace(b"(2, 4)", b"(9, 4)")
    for body in (b"", b"{}", good[:20], good[:-1], claims_more, b"PK\3\4" + good, pickled):
        with pytest.raises(BadRequest):
            read_npy(body, 4)
    with pytest.raises((BadRequest, Invalid)):
        read_npy(archive.getvalue(), 4)
