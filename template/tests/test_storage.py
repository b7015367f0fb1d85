"""Stored files, over the routes of each component that stores some."""

import errno
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.http import parse_options_header
from werkzeug.test import encode_multipart

from app.storage import FileInfo, LocalStorage, display_name

CSV = b"name,age\nJos\xe9,3\n" + b"0123456789\n" * 9
#: Where files are sent → the ending of the URL that downloads one.
ROUTES = {
    # {% if "s3" in components %}
    "/api/v1/files": "",
    # {% endif %}
    # {% if "uploads" in components %}
    "/api/v1/uploads": "/content",
    # {% endif %}
}


# {% if "s3" in components %}
@pytest.fixture(params=ROUTES)
def url(request: pytest.FixtureRequest, place: str) -> str:
    """Where files are sent. A test with this fixture runs for each of them and each storage."""
    return str(request.param)
# {% else %}
@pytest.fixture(params=ROUTES)
def url(request: pytest.FixtureRequest) -> str:
    """Where files are sent."""
    return str(request.param)
# {% endif %}


def send(client: FlaskClient, url: str, filename: str = "a.csv") -> Any:
    """Always with one boundary: the server compiles its parser for each one that it sees."""
    boundary, body = encode_multipart({"file": FileStorage(BytesIO(CSV), filename)}, "boundary")
    return client.post(url, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def stored(client: FlaskClient, url: str, filename: str = "a.csv") -> str:
    """The URL that downloads a new file."""
    return str(send(client, url, filename).headers["Location"]) + ROUTES[url]


def test_a_file_comes_back_as_an_attachment(client: FlaskClient, url: str) -> None:
    for filename, shown in (
        ("a.csv", "a.csv"),
        ("../../é'; a.csv", "é'; a.csv"),
        ("/etc/a.csv", "a.csv"),
        ("C:/a b.csv", "a b.csv"),
    ):
        with client.get(stored(client, url, filename)) as download:
            assert (download.data, download.headers["Content-Type"]) == (CSV, "text/csv")
            kind, options = parse_options_header(download.headers["Content-Disposition"])
            assert (kind, options) == ("attachment", {"filename": shown})


def test_ranges_and_conditional_requests(client: FlaskClient, url: str) -> None:
    path = stored(client, url)
    with client.head(path) as head:
        assert (head.content_length, head.data) == (len(CSV), b"")
        tag, date = head.headers["ETag"], head.headers["Last-Modified"]
    for headers, status, data in (
        ({"Range": "bytes=1-3"}, 206, CSV[1:4]),
        ({"Range": "bytes=90-"}, 206, CSV[90:]),
        ({"Range": "bytes=-5"}, 206, CSV[-5:]),
        ({"Range": "bytes=-1000"}, 200, CSV),
        ({"Range": "bytes=1000-"}, 416, None),
        ({"Range": "lines=1-3"}, 200, CSV),
        ({"Range": "lines=first"}, 200, CSV),
        ({"Range": "bytes=1-3", "If-Range": tag}, 206, CSV[1:4]),
        ({"Range": "bytes=1-3", "If-Range": '"other"'}, 200, CSV),
        ({"If-None-Match": tag}, 304, b""),
        ({"If-None-Match": '"other"'}, 200, CSV),
        ({"If-Modified-Since": date}, 304, b""),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, CSV),
        ({"If-Modified-Since": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, 200, CSV),
        ({"If-Match": tag}, 200, CSV),
        ({"If-Match": "*"}, 200, CSV),
        ({"If-Match": '"other"'}, 412, None),
    ):
        with client.get(path, headers=headers) as response:
            assert response.status_code == status, headers
            assert data is None or response.data == data, headers
            assert status not in (200, 206) or response.content_length == len(data or b"")


def test_a_full_disk_is_503_and_leaves_nothing(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    for url in ROUTES:
        storage = app.extensions[url.rpartition("/")[2]]
        monkeypatch.setattr(storage, "root", tmp_path)
        response = send(client, url)
        assert response.status_code == 503
        assert "space" not in response.text
        assert not any(tmp_path.iterdir())


def test_files_are_stored_by_key(tmp_path: Path) -> None:
    info = FileInfo(key="key", filename="../../evil.csv", content_type="text/csv", size=len(CSV))
    LocalStorage(tmp_path).save(info, BytesIO(CSV))
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert files == {"key/info.json"}
    assert (tmp_path / "key" / "content").read_bytes() == CSV


def test_a_name_is_shown_without_its_folders() -> None:
    for filename in ("C:\\x\\a.png", "C:\\x/y/a.png", "/x/y\\a.png", "\\\\host\\x\\a.png"):
        assert display_name(filename) == "a.png", filename


def test_a_long_name_keeps_its_end() -> None:
    assert display_name("x" * 300 + "\n.png") == "x" * 251 + ".png"
