"""Files over HTTP, in a folder and in a bucket."""

import re
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

URL = "/api/v1/files"
TEXT = b"0123456789" * 10


pytestmark = pytest.mark.usefixtures("place")


def get(client: FlaskClient, path: str, **headers: str) -> Any:
    return client.get(path, headers=headers, buffered=True)


def send(
    client: FlaskClient, content: bytes = TEXT, name: str = "a.txt", mime: str = "text/plain"
) -> Any:
    file = FileStorage(BytesIO(content), name, content_type=mime)
    boundary, body = encode_multipart({"file": file}, "boundary")
    return client.post(URL, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def fetch(app: Flask, url: str, body: bytes | None = None, content_type: str = "") -> Any:
    """Send a request without a token: to S3, or to the application if it is its URL."""
    if (parts := urlsplit(url)).port:
        request = Request(url, body)  # noqa: S310
        request.add_header("Content-Type", content_type)
        try:
            with urlopen(request) as response:  # noqa: S310
                return response.status, response.headers, response.read()
        except HTTPError as error:
            return error.code, error.headers, error.read()
    method = "POST" if body else "GET"
    local = app.test_client()
    response = local.open(
        parts.path, method=method, data=body, content_type=content_type, buffered=True
    )
    return response.status_code, response.headers, response.data


def post_form(app: Flask, form: dict[str, Any], content: bytes, **changes: str) -> int:
    file = FileStorage(BytesIO(content), "any.name")
    boundary, body = encode_multipart(form["fields"] | changes | {"file": file}, "boundary")
    status, _, _ = fetch(app, form["url"], body, f"multipart/form-data; boundary={boundary}")
    return int(status)


def test_a_file_can_be_uploaded_downloaded_and_deleted(client: FlaskClient) -> None:
    created = send(client)
    assert created.status_code == 201
    key = created.get_json()["key"]
    expected = {"key": key, "filename": "a.txt", "content_type": "text/plain", "size": len(TEXT)}
    assert created.get_json() == expected
    url = created.headers["Location"]
    assert url == f"{URL}/{key}"
    download = get(client, url)
    assert (download.status_code, download.data) == (200, TEXT)
    assert download.headers["Content-Type"] == "text/plain"
    assert download.headers["Content-Disposition"] == "attachment; filename=a.txt"
    assert client.delete(url).status_code == 204
    for response in (get(client, url), client.delete(url), client.get(f"{url}/url")):
        assert response.status_code == 404


@pytest.mark.parametrize("content", [b"", b"x" * (17 * 1024 * 1024 + 1)], ids=["empty", "large"])
def test_a_file_of_any_size_comes_back(client: FlaskClient, content: bytes) -> None:
    """The large one exceeds MAX_CONTENT_LENGTH, and is sent to S3 in parts."""
    created = send(client, content)
    assert created.get_json()["size"] == len(content)
    assert get(client, created.headers["Location"]).data == content


def test_names_are_never_used_as_keys(client: FlaskClient) -> None:
    for name in ("../../a.txt", "C:/a b.txt", ".."):
        created = send(client, name=name).get_json()
        assert re.fullmatch(r"(\d+/)?[0-9a-f-]{36}", created["key"])


def test_an_unknown_key_is_404(client: FlaskClient) -> None:
    key = send(client).get_json()["key"]
    for path in (key[:-1], f"{key}/x", f"x/{key}", "..%2F..%2Fapp.db", "é", "%00"):
        for response in (get(client, f"{URL}/{path}"), client.delete(f"{URL}/{path}")):
            assert response.status_code == 404, path


def test_a_type_that_is_not_allowed_is_415(client: FlaskClient) -> None:
    for mime in ("text/html", "image/svg+xml", "nonsense"):
        assert send(client, mime=mime).status_code == 415, mime


def test_a_file_that_is_too_large_is_413(app: Flask, client: FlaskClient) -> None:
    app.config["FILE_MAX_SIZE"] = 1000
    assert send(client, bytes(1000)).status_code == 201
    assert send(client, bytes(1001)).status_code == 413
    assert send(client, bytes(100_000)).status_code == 413


def test_other_bodies_have_the_limit_of_the_service(app: Flask, client: FlaskClient) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    post = {"filename": "x" * 1000, "content_type": "text/plain"}
    assert client.post(f"{URL}/presigned", json=post).status_code == 413


def test_a_url_downloads_a_file_without_a_token(app: Flask, client: FlaskClient) -> None:
    url = send(client, name="é.txt").headers["Location"]
    answer = client.get(f"{url}/url?expires_in=60").get_json()
    assert answer["expires_in"] == 60
    status, headers, content = fetch(app, answer["url"])
    assert (status, content, headers["Content-Type"]) == (200, TEXT, "text/plain")
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A9.txt"


def test_the_expiry_of_a_url_is_bounded(client: FlaskClient) -> None:
    url = send(client).headers["Location"]
    for expires_in in (0, -1, 3601, "x"):
        response = client.get(f"{url}/url?expires_in={expires_in}")
        assert response.status_code == 422, expires_in
    post = {"filename": "a.txt", "content_type": "text/plain", "expires_in": 3601}
    assert client.post(f"{URL}/presigned", json=post).status_code == 422


def test_a_form_uploads_a_file_without_a_token(app: Flask, client: FlaskClient) -> None:
    post = {"filename": "a/é.txt", "content_type": "text/plain", "max_size": len(TEXT)}
    created = client.post(f"{URL}/presigned", json=post)
    assert created.status_code == 201
    form = created.get_json()
    assert get(client, f"{URL}/{form['key']}").status_code == 404
    for content in (b"draft", TEXT):  # the second replaces the first
        assert post_form(app, form, content) == 204
    download = get(client, f"{URL}/{form['key']}")
    assert (download.data, download.headers["Content-Type"]) == (TEXT, "text/plain")
    assert download.headers["Content-Disposition"].endswith("UTF-8''%C3%A9.txt")


def test_a_form_for_a_type_or_size_that_is_not_allowed_is_422(client: FlaskClient) -> None:
    good = {"filename": "a.txt", "content_type": "text/plain"}
    for field, value in (("content_type", "text/html"), ("max_size", 10**12), ("max_size", 0)):
        response = client.post(f"{URL}/presigned", json=good | {field: value})
        assert response.status_code == 422, field
        assert [error["field"] for error in response.get_json()["errors"]] == [field]
