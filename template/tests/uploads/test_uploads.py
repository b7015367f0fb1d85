"""Uploads over HTTP."""

import errno
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app.uploads.content import MIME_OF_EXTENSION, agreed_mime

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
JPEG = b"\xff\xd8\xff\xe0" + bytes(64)
PDF = b"%PDF-1.7\n" + bytes(64)
CSV = b"name,age\nJos\xe9,3\n"
URL = "/api/v1/uploads"
# {% if "s3" in components %}

pytestmark = pytest.mark.usefixtures("place")
# {% endif %}


def send(client: FlaskClient, content: bytes, filename: str) -> Any:
    """Always with one boundary: the server compiles its parser for each one that it sees."""
    file = FileStorage(BytesIO(content), filename)
    boundary, body = encode_multipart({"file": file}, "boundary")
    return client.post(URL, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def test_an_upload_can_be_read(client: FlaskClient) -> None:
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


def test_openapi_lists_the_types_of_a_download(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    answers = paths[URL + "/{upload_id}/content"]["get"]["responses"]
    assert set(answers["200"]["content"]) == set(MIME_OF_EXTENSION.values())
    assert answers["206"]["content"] == answers["200"]["content"]
    assert {"304", "412", "416"} <= set(answers)


@pytest.mark.parametrize(
    ("filename", "content", "mime"),
    [
        ("a.png", PNG, "image/png"),
        ("a.jpg", JPEG, "image/jpeg"),
        ("A.JPEG", JPEG, "image/jpeg"),
        ("a.pdf", PDF, "application/pdf"),
        ("a.pdf", bytes(1000) + PDF, "application/pdf"),
        ("a.csv", CSV, "text/csv"),
        ("a.csv", b"\xef\xbb\xbf" + CSV, "text/csv"),
    ],
)
def test_accepted_types(client: FlaskClient, filename: str, content: bytes, mime: str) -> None:
    body = send(client, content, filename).get_json()
    assert (body["filename"], body["mime"]) == (filename, mime)
    assert (body["size"], body["sha256"]) == (len(content), sha256(content).hexdigest())


@pytest.mark.parametrize(
    "start",
    ["GIFT_ID", "GIF89a", "BM", "MZ", "PK", "RIFF", "ID3", "OggS", "FLAC", "%!PS", "{\\rtf1"],
)
def test_a_csv_may_begin_like_another_format(start: str) -> None:
    assert agreed_mime("a.csv", BytesIO(f"{start},donor\n1,2\n".encode())) == "text/csv"


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.jpg", PNG),
        ("a.csv", PNG),
        ("a.csv", JPEG),
        ("a.csv", b"%PDF-1.4\ntext"),
        ("a.csv", b"PK\3\4" + bytes(64)),
        ("a.csv", b"a,b\0c"),
        ("a.csv", b"a,b\n" * 50_000 + b"\0"),
        ("a.csv", b""),
        ("a.png", b""),
        ("a.png", CSV),
        ("a.png", b"MZ" + bytes(64)),
        ("a.pdf", PNG + PDF),
        ("a.pdf", bytes(1020) + PDF),
        ("a.html", b"<html>"),
        ("png", PNG),
        ("..", PNG),
        ("a.png.exe", PNG),
    ],
)
def test_name_and_content_must_agree(filename: str, content: bytes) -> None:
    assert agreed_mime(filename, BytesIO(content)) is None


def test_a_type_that_is_not_accepted_is_415_and_leaves_nothing(
    app: Flask, client: FlaskClient
) -> None:
    assert send(client, PNG, "a.jpg").status_code == 415
    assert not any(app.config["UPLOAD_DIR"].iterdir())


def test_two_files_of_one_name_are_two_files(client: FlaskClient) -> None:
    ids = [send(client, PNG + suffix, "a.png").get_json()["id"] for suffix in (b"1", b"2")]
    contents = [client.get(f"{URL}/{upload_id}/content") for upload_id in ids]
    assert [content.data[-1:] for content in contents] == [b"1", b"2"]
    for content in contents:
        content.close()


def test_an_unknown_upload_is_404(client: FlaskClient) -> None:
    for upload_id in ("6f7f3a2e-0000-4000-8000-000000000000", "nonsense", "..%2F..%2Fapp.db"):
        for ending in ("", "/content"):
            path = f"{URL}/{upload_id}{ending}"
            assert client.get(path).status_code == 404, path


def test_a_file_that_is_too_large_is_413(app: Flask, client: FlaskClient) -> None:
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
