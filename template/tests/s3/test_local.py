"""Files in a folder: what only a folder does."""

from io import BytesIO

import pytest
from flask import Flask
from flask.testing import FlaskClient

URL = "/api/v1/files"
FORM = {"filename": "a.txt", "content_type": "text/plain", "max_size": 10}


def send(client: FlaskClient) -> str:
    created = client.post(URL, data={"file": (BytesIO(b"abc"), "a.txt")})
    return str(created.headers["Location"])


def test_a_signed_url_expires(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = client.get(f"{send(client)}/url?expires_in=60").get_json()["url"]
    form = client.post(f"{URL}/presigned", json={**FORM, "expires_in": 60}).get_json()
    anonymous = app.test_client()
    with anonymous.get(url) as download:
        assert download.status_code == 200
    monkeypatch.setattr("app.s3.local.time", lambda: 4e9)
    assert anonymous.get(url).status_code == 403
    assert anonymous.post(form["url"], data={"file": (BytesIO(b"abc"), "a")}).status_code == 403


def test_a_signed_url_that_was_changed_is_403(app: Flask, client: FlaskClient) -> None:
    url = client.get(f"{send(client)}/url").get_json()["url"]
    form = client.post(f"{URL}/presigned", json=FORM).get_json()
    anonymous = app.test_client()
    changed = f"{url[:-9]}{'A' if url[-9] != 'A' else 'B'}{url[-8:]}"
    for other in (changed, url + "x", form["url"], "/signed/nonsense"):
        assert anonymous.get(other).status_code == 403
    assert anonymous.post(url, data={"file": (BytesIO(b"abc"), "a")}).status_code == 403


def test_a_signed_form_bounds_the_size(app: Flask, client: FlaskClient) -> None:
    form = client.post(f"{URL}/presigned", json=FORM).get_json()
    for size, status in ((11, 413), (10, 204)):
        file = {"file": (BytesIO(bytes(size)), "a")}
        assert app.test_client().post(form["url"], data=file).status_code == status
