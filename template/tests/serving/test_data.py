"""What models are trained on."""

from pathlib import Path

import pytest

from app.serving.data import BadData, read_csv

CSV = "a,b,kind\n" + "".join(f"{i},{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(10))


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(CSV)
    data = read_csv(path, 2, 5)
    assert (data.features, data.labels) == (["a", "b"], ["x", "y"])
    assert data.rows.tolist() == [[i, 10 * (i % 2)] for i in range(10)]
    assert data.classes.tolist() == [0, 1] * 5


def test_a_spreadsheet_may_have_written_it(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(CSV)
    plain = read_csv(path, 2, 5)
    blank = "\r\n" + CSV.replace("\n", "\r\n").replace("\r\n4", "\r\n\r\n ,,\r\n4") + "\r\n"
    path.write_bytes(blank.encode("utf-8-sig"))
    data = read_csv(path, 2, 5)
    assert (data.features, data.labels) == (plain.features, plain.labels)
    assert data.rows.tolist() == plain.rows.tolist()
    path.write_text(CSV.replace(",x", ',"x\nx"').replace("\n8,0", "\n\n8"))
    with pytest.raises(BadData, match="line 16:"):
        read_csv(path, 2, 5)


def test_a_file_that_is_not_right_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    cases = [
        (b"\xff", "not a CSV file"),
        (b"", "header"),
        (b"a,kind\n1,x\n", "header"),
        (CSV.removeprefix("a,b,kind\n").encode(), "header"),
        (CSV.replace(",", ";").encode(), "separated by commas"),
        (CSV.replace("\n4,0", "\n4").encode(), "line 6"),
        (CSV.replace("\n0,0", "\nzero,0").encode(), "line 2"),
        (CSV.replace("\n1,10", "\nnan,10").encode(), "line 3"),
        (CSV.replace("\n1,10", "\n1e39,10").encode(), "line 3"),
        (CSV.replace("\n1,10", "\n1,1_0").encode(), "line 3"),
        (CSV.replace("\n1,10,y", "\n1,10, ").encode(), "line 3"),
        (CSV.replace(",x", ",y").encode(), "two labels"),
        (b"a,b,kind\n", "two labels"),
        (CSV.rpartition("8,0")[0].encode(), "each on 5 lines"),
    ]
    for content, sentence in cases:
        path.write_bytes(content)
        with pytest.raises(BadData, match=sentence):
            read_csv(path, 2, 5)
