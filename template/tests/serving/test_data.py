"""Training data from CSV files."""

from pathlib import Path

import pytest

from app.serving.data import DataError, read_csv

CSV = "a,b,kind\n" + "".join(f"{i},{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(10))


@pytest.mark.parametrize(
    "content",
    [CSV.encode(), CSV.replace("\n", "\r\n").replace("\r\n4", "\r\n\r\n4").encode("utf-8-sig")],
)
def test_file_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    data = read_csv(path, 2, 5)
    assert (data.features, data.labels) == (["a", "b"], ["x", "y"])
    assert data.rows.tolist() == [[i, 10 * (i % 2)] for i in range(10)]
    assert data.classes.tolist() == [0, 1] * 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "not a CSV file"),
        (b"", "line 1"),
        (b"a,kind\n1,x\n", "line 1"),
        (CSV.replace(",", ";").encode(), "line 1"),
        (CSV.replace("\n4,0", "\n4").encode(), "line 6"),
        (CSV.replace("\n0,0", "\nzero,0").encode(), "line 2"),
        (CSV.replace("\n1,10", "\nnan,10").encode(), "line 3"),
        (CSV.replace("\n1,10", "\n1e39,10").encode(), "line 3"),
        (CSV.replace(",x", ",y").encode(), "two labels"),
        (b"a,b,kind\n", "two labels"),
        (CSV.rpartition("8,0")[0].encode(), "5 lines each"),
    ],
)
def test_bad_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_csv(path, 2, 5)
