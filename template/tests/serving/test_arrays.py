"""Arrays, out of JSON and of NumPy's format."""

import json
from io import BytesIO
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from werkzeug.exceptions import BadRequest

from app.api import Schema
from app.errors import Invalid
from app.serving.arrays import LARGEST, MAX_ROWS, Number, read_npy, read_row, read_rows

Row = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Rows(Schema):
    """What ``read_rows`` must agree with: the model that documents such a body."""

    rows: Annotated[list[Row], Field(min_length=1, max_length=MAX_ROWS)]


def npy(array: Any, version: tuple[int, int] | None = None, pickled: bool = False) -> bytes:
    stream = BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version, allow_pickle=pickled)
    return stream.getvalue()


def test_plain_rows_are_read_as_they_were_sent() -> None:
    for rows in ([[1, -2]], [[0.1, 1e-320], [-0.0, LARGEST]], [[1e30, 2**63]] * MAX_ROWS):
        found = read_rows(json.dumps({"rows": rows}).encode(), "rows", 2)
        assert found is not None
        assert found.dtype == np.float64
        assert found.tolist() == rows
    assert read_rows(b' {"rows" : [ [1e0,\n2] ] } ', "rows", 2) is not None


def test_rows_that_a_model_refuses_are_left_to_it() -> None:
    numbers = ["1e39", "-1e39", "1e999", "9" * 400, "NaN", "Infinity", "nan", "true", "false"]
    numbers += ["null", '"1"', "[1]", "[1, 2]", "[]", "{}", '{"a": 1}', "01", "1,", "", "0x1", "+1"]
    bodies = ['{"rows": [[1, ?]]}'.replace("?", number) for number in numbers]
    bodies += ['{"rows": [[1, 2], [?, 2]]}'.replace("?", number) for number in numbers]
    wrong: list[Any] = [[], [[]], [[1]], [[1, 2, 3]], [[1, 2], [3]], [[[1, 2]]], [[1, [2]]], [1, 2]]
    wrong += [[[1, 2]] * (MAX_ROWS + 1), [[[1], 2]], [[1, 2], []], {"0": [1, 2]}, 1, None, "ab"]
    bodies += [json.dumps({"rows": rows}) for rows in wrong]
    bodies += ["[[1, 2]]", "{}", "", "rows", '{"other": [[1, 2]]}', '{"rows": [[1, 2]]', "\xff"]
    bodies.append('{"ro ws": [[1, 2]]}')
    bodies += ['{"rows": [[1, 2]], "other": 1}', '{"rows": [[1, 2]], "rows": [[1, 2], [3]]}']
    for body in bodies:
        assert read_rows(body.encode("latin-1"), "rows", 2) is None, body[:80]
        with pytest.raises(ValidationError):
            Rows.model_validate_json(body.encode("latin-1"))


def test_a_row_is_read_as_strictly() -> None:
    found = read_row(b'{"row": [1, -2.5]}', "row", 2)
    assert found is not None
    assert found.tolist() == [[1, -2.5]]
    numbers = ["1e39", "-1e39", "9" * 400, "NaN", "true", "null", '"1"', "[1]", "{}", "1, 2", ""]
    for number in numbers:
        assert read_row(b'{"row": [1, %b]}' % number.encode(), "row", 2) is None, number
    bodies = [b'{"row": []}', b'{"row": [[1, 2], [1, 2]]}', b'{"row": [[1], [2]]}', b"[1, 2]"]
    for body in [*bodies, b'{"r ow": [1, 2]}']:
        assert read_row(body, "row", 2) is None, body


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


def test_an_odd_header_is_refused() -> None:
    good = npy(np.zeros((2, 4)))
    shapes = ["(-2, 4)", "(2, -4)", f"({10**30}, 4)", f"(2, {2**63 - 1})", "()", "(2, 4, 1)"]
    types = ["''", "'O'", "'f8,f8'", "'(2,)f4'", "('<f8', (1,))", "('<f8', [('a', 'O')])", "[]"]
    types += ["[('a', '<f8')]", "[('', '<f8')]", "('O', '<f8')", "'<U2'", "None", "1", "{}"]
    cases = [("(2, 4)", shape) for shape in shapes] + [("'<f8'", kind) for kind in types]
    for old, new in cases:
        header = good[10:128].decode().replace(old, new)
        body = good[:8] + len(header).to_bytes(2, "little") + header.encode() + good[128:]
        with pytest.raises((BadRequest, Invalid)):
            read_npy(body, 4)


def test_what_is_no_array_is_refused() -> None:
    good = npy(np.zeros((2, 4)))
    huge = good.replace(b"(2, 4)", b"(9, 4)")
    odd = [b"", b"{}", good[:20], good[:-1], good + b"\0", huge, b"PK\3\4" + good]
    odd += [good[:6] + b"\3" + good[7:], good.replace(b"'shape'", b"'shap\xff'")]
    odd.append(good.replace(b"{'descr'", b"[[[[[[[["))
    for shape in (b"(True,4)", b"(2,True)", b"(2.,4)", b"[2, 4]", b"(2L,4M)"):
        odd.append(good.replace(b"(2, 4)", shape))
    new = npy(np.zeros((2, 4)), (2, 0))
    odd += [new[:6] + version + new[8:] for version in (b"\0\0", b"\2\1", b"\3\0", b"\t\0")]
    for body in odd:
        with pytest.raises(BadRequest):
            read_npy(body, 4)
