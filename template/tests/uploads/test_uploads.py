"""Uploads over HTTP."""

import errno
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app.uploads import service
from app.uploads.content import MIME_OF_EXTENSION, agreed_mime, display_name
from app.uploads.storage import LocalStorage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
CONTENT = {
    "png": PNG,
    "apng": PNG[:8] + b"\0\0\0\x0dIHDR" + bytes(17) + b"\0\0\0\x08acTL" + bytes(12),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(64),
    "pdf": b"%PDF-1.7\n" + bytes(64),
    "csv": b"name,age\nJos\xe9,3\n",
    "csv like a bitmap": b"BMI,weight\n20,60\n",
    "exe": b"MZ" + bytes(64),
    "zip": b"PK\3\4" + bytes(64),
    "binary": b"a,b\0c",
    "late binary": b"a,b\n" * 50_000 + b"\0",
    "html": b"<html>",
    "rtf": b"{\\rtf1\\ansi a,b}",
    "postscript": b"%!PS-Adobe-3.0\n",
    "gif": b"GIF89a;a",
    "nothing": b"",
}
URL = "/api/v1/uploads"


def send(client: FlaskClient, content: bytes, filename: str) -> Any:
    """Always with one boundary: the server compiles its parser for each one that it sees."""
    file = FileStorage(BytesIO(content), filename)
    boundary, body = encode_multipart({"file": file}, "boundary")
    return client.post(URL, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def test_what_is_taken_comes_back(client: FlaskClient) -> None:
    created = send(client, PNG, "a.png")
    assert created.status_code == 201
    body = created.get_json()
    assert body == {
        "id": body["id"],
        "filename": "a.png",
        "mime": "image/png",
        "size": len(PNG),
        "sha256": sha256(PNG).hexdigest(),
    }
    assert client.get(created.headers["Location"]).json == body
    with client.get(f"{URL}/{body['id']}/content") as download:
        assert (download.data, download.mimetype) == (PNG, "image/png")
        assert download.headers["Content-Disposition"].startswith("attachment")


def test_a_download_tells_its_size_and_gives_parts(client: FlaskClient) -> None:
    url = f"{send(client, PNG, 'a.png').headers['Location']}/content"
    with client.head(url) as head:
        assert (head.content_length, head.data) == (len(PNG), b"")
    for given, status, data in (
        ("bytes=1-3", 206, PNG[1:4]),
        ("bytes=70-", 206, PNG[70:]),
        ("bytes=1000-", 416, None),
        ("bytes=-1000", 200, PNG),
        ("lines=1-3", 200, PNG),
    ):
        with client.get(url, headers={"Range": given}) as part:
            assert part.status_code == status, given
            assert data is None or (part.data, part.content_length) == (data, len(data)), given
    with client.get(url) as download:
        tag = download.headers["ETag"]
    with client.get(url, headers={"If-None-Match": tag}) as known:
        assert known.status_code == 304


def test_a_text_is_given_back_in_no_encoding_that_nobody_named(client: FlaskClient) -> None:
    url = f"{send(client, CONTENT['csv'], 'a.csv').headers['Location']}/content"
    with client.get(url) as download:
        assert (download.data, download.headers["Content-Type"]) == (CONTENT["csv"], "text/csv")


def test_the_document_names_what_a_download_can_be(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    answers = paths[URL + "/{upload_id}/content"]["get"]["responses"]
    assert set(answers["200"]["content"]) == set(MIME_OF_EXTENSION.values())
    assert answers["206"]["content"] == answers["200"]["content"]
    assert {"304", "412", "416"} <= set(answers)


def test_each_type_is_taken(app: Flask) -> None:
    cases = [
        ("png", "a.png", "image/png"),
        ("apng", "a.png", "image/png"),
        ("jpeg", "a.jpg", "image/jpeg"),
        ("jpeg", "A.JPEG", "image/jpeg"),
        ("pdf", "a.pdf", "application/pdf"),
        ("csv", "a.csv", "text/csv"),
        ("csv like a bitmap", "a.csv", "text/csv"),
    ]
    for kind, filename, mime in cases:
        with app.app_context():
            upload = service.store(FileStorage(BytesIO(CONTENT[kind]), filename))
            assert service.content_path(upload.id).read_bytes() == CONTENT[kind], kind
        assert (upload.filename, upload.mime) == (filename, mime), kind
        assert upload.size == len(CONTENT[kind]), kind
        assert upload.sha256 == sha256(CONTENT[kind]).hexdigest(), kind


def test_what_is_not_taken_is_415_and_leaves_nothing(app: Flask, client: FlaskClient) -> None:
    assert send(client, PNG, "a.jpg").status_code == 415
    assert not any(app.config["UPLOAD_DIR"].glob("*"))


def test_name_and_content_must_agree() -> None:
    cases = [
        ("png", "a.jpg"),
        ("png", "a.csv"),
        ("csv", "a.png"),
        ("exe", "a.png"),
        ("zip", "a.csv"),
        ("binary", "a.csv"),
        ("late binary", "a.csv"),
        ("nothing", "a.csv"),
        ("nothing", "a.png"),
        ("html", "a.html"),
        ("rtf", "a.csv"),
        ("postscript", "a.csv"),
        ("gif", "a.csv"),
        ("png", "png"),
        ("png", ".."),
        ("png", "a.png.exe"),
    ]
    for kind, filename in cases:
        assert agreed_mime(filename, BytesIO(CONTENT[kind])) is None, (kind, filename)


def test_two_files_of_one_name_are_two_files(client: FlaskClient) -> None:
    ids = [send(client, PNG + suffix, "a.png").get_json()["id"] for suffix in (b"1", b"2")]
    contents = [client.get(f"{URL}/{upload_id}/content") for upload_id in ids]
    assert [content.data[-1:] for content in contents] == [b"1", b"2"]
    for content in contents:
        content.close()


def test_no_name_becomes_a_path(app: Flask, client: FlaskClient) -> None:
    root: Path = app.config["UPLOAD_DIR"]
    expected: set[str] = set()
    for filename in ("../../evil.png", "/etc/evil.png", "a/evil.png", "evil.png"):
        body = send(client, PNG, filename).get_json()
        assert body["filename"] == "evil.png", filename
        expected |= {f"{body['id']}/content", f"{body['id']}/upload.json"}
        files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        assert files == expected, filename


def test_a_name_is_shown_without_its_folders() -> None:
    for filename in ("C:\\x\\a.png", "C:\\x/y/a.png", "/x/y\\a.png", "\\\\host\\x\\a.png"):
        assert display_name(filename) == "a.png", filename


def test_a_name_is_shortened_from_the_left() -> None:
    assert display_name("x" * 300 + "\n.png") == "x" * 251 + ".png"


def test_an_unknown_upload_is_404(client: FlaskClient) -> None:
    for upload_id in ("6f7f3a2e-0000-4000-8000-000000000000", "nonsense", "..%2F..%2Fapp.db"):
        for ending in ("", "/content"):
            path = f"{URL}/{upload_id}{ending}"
            assert client.get(path).status_code == 404, path


def test_a_file_over_the_bound_is_413(app: Flask, client: FlaskClient) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert send(client, PNG + bytes(1000), "a.png").status_code == 413


def test_a_full_folder_for_temporary_files_is_503(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", full)
    response = send(client, PNG * 10_000, "a.png")
    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_a_full_disk_is_503_and_leaves_nothing(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.uploads.storage.copy", full)
    response = send(client, PNG, "a.png")
    assert response.status_code == 503
    assert "space" not in response.text
    assert not any(app.config["UPLOAD_DIR"].glob("*"))


def test_a_new_process_finds_what_an_old_one_stored(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = send(client, PNG, "a.png").get_json()
    monkeypatch.setitem(app.extensions, "uploads", LocalStorage(app.config["UPLOAD_DIR"]))
    assert client.get(f"{URL}/{body['id']}").json == body
