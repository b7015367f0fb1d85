"""Uploads over HTTP."""

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.uploads.content import display_name
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
    "nothing": b"",
}
URL = "/api/v1/uploads"


def send(client: FlaskClient, content: bytes, filename: str) -> Any:
    return client.post(URL, data={"file": (BytesIO(content), filename)})


@pytest.mark.parametrize(
    ("kind", "filename", "mime"),
    [
        ("png", "a.png", "image/png"),
        ("apng", "a.png", "image/png"),
        ("jpeg", "a.jpg", "image/jpeg"),
        ("jpeg", "A.JPEG", "image/jpeg"),
        ("pdf", "a.pdf", "application/pdf"),
        ("csv", "a.csv", "text/csv"),
        ("csv like a bitmap", "a.csv", "text/csv"),
    ],
)
def test_what_is_taken_comes_back(client: FlaskClient, kind: str, filename: str, mime: str) -> None:
    content = CONTENT[kind]
    created = send(client, content, filename)
    assert created.status_code == 201
    body = created.get_json()
    digest = sha256(content).hexdigest()
    assert body == {
        "id": body["id"],
        "filename": filename,
        "mime": mime,
        "size": len(content),
        "sha256": digest,
    }
    assert client.get(created.headers["Location"]).json == body
    download = client.get(f"{URL}/{body['id']}/content")
    assert (download.data, download.mimetype) == (content, mime)
    assert download.headers["Content-Disposition"].startswith("attachment")
    download.close()


@pytest.mark.parametrize(
    ("kind", "filename"),
    [
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
        ("png", "png"),
        ("png", ".."),
        ("png", "a.png.exe"),
    ],
)
def test_name_and_content_must_agree(
    app: Flask, client: FlaskClient, kind: str, filename: str
) -> None:
    assert send(client, CONTENT[kind], filename).status_code == 415
    assert not any(app.config["UPLOAD_DIR"].glob("*"))


def test_two_files_of_one_name_are_two_files(client: FlaskClient) -> None:
    ids = [send(client, PNG + suffix, "a.png").get_json()["id"] for suffix in (b"1", b"2")]
    contents = [client.get(f"{URL}/{upload_id}/content") for upload_id in ids]
    assert [content.data[-1:] for content in contents] == [b"1", b"2"]
    for content in contents:
        content.close()


@pytest.mark.parametrize("filename", ["../../evil.png", "/etc/evil.png", "a/evil.png", "evil.png"])
def test_no_name_becomes_a_path(app: Flask, client: FlaskClient, filename: str) -> None:
    body = send(client, PNG, filename).get_json()
    assert body["filename"] == "evil.png"
    root: Path = app.config["UPLOAD_DIR"]
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {f"{body['id']}/content", f"{body['id']}/upload.json"}


def test_a_name_is_shortened_from_the_left() -> None:
    assert display_name("x" * 300 + "\n.png") == "x" * 251 + ".png"


@pytest.mark.parametrize(
    "upload_id", ["6f7f3a2e-0000-4000-8000-000000000000", "nonsense", "..%2F..%2Fapp.db"]
)
@pytest.mark.parametrize("ending", ["", "/content"])
def test_an_unknown_upload_is_404(client: FlaskClient, upload_id: str, ending: str) -> None:
    assert client.get(f"{URL}/{upload_id}{ending}").status_code == 404


def test_a_file_over_the_bound_is_413(app: Flask, client: FlaskClient) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert send(client, PNG + bytes(1000), "a.png").status_code == 413


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


def test_a_new_process_finds_what_an_old_one_stored(app: Flask, client: FlaskClient) -> None:
    body = send(client, PNG, "a.png").get_json()
    app.extensions["uploads"] = LocalStorage(app.config["UPLOAD_DIR"])
    assert client.get(f"{URL}/{body['id']}").json == body
