"""A bucket that is missing, down, slow or broken, and what presigned URLs contain."""

import json
import os
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

# {% if "probes" in components %}
from app import create_app
# {% endif %}
from app.config import ConfigError, load_settings
# {% if "probes" in components %}
from app.probes.readiness import get_readiness
# {% endif %}
from app.s3.bucket import BucketStorage

URL = "/api/v1/files"
# {% if "jwt" in components %}
KEY = "1/6f7f3a2e-0000-4000-8000-000000000000"
# {% else %}
KEY = "6f7f3a2e-0000-4000-8000-000000000000"
# {% endif %}


class BrokenS3(BaseHTTPRequestHandler):
    """Sends whatever ``answer`` has, and closes the connection."""

    answer: bytes = b""
    released = threading.Event()

    def handle_one_request(self) -> None:
        while self.rfile.readline().strip():
            pass  # the request's headers
        if self.answer == b"silence":
            self.released.wait(30)
        self.wfile.write(self.answer)
        self.close_connection = True


HEADERS = (
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\nContent-Type: text/plain\r\n"
    b'ETag: "1"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n'
)


@pytest.fixture
def broken(
    app: Flask, bucket: BucketStorage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[BrokenS3]]:
    """Have the application use an S3 server that is broken."""
    BrokenS3.released.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), BrokenS3) as server:
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        app.config["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(app.extensions, "files", BucketStorage(app, "files"))
        yield BrokenS3
        BrokenS3.released.set()
        server.shutdown()
        thread.join()


def send(client: FlaskClient) -> Any:
    return client.post(URL, data={"file": (BytesIO(b"abc"), "a.txt")})


def requests_of_every_kind(client: FlaskClient, key: str) -> list[Any]:
    url = f"{URL}/{key}"
    return [send(client), client.get(url), client.get(f"{url}/url"), client.delete(url)]


def owned(client: FlaskClient) -> str:
    """A key that the client may access."""
    key: str = send(client).get_json()["key"]
    return key


@pytest.mark.parametrize("fault", ["bucket", "credentials", "server"])
def test_a_fault_of_s3_is_503_and_gives_no_details(
    app: Flask,
    client: FlaskClient,
    bucket: BucketStorage,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    key = owned(client)
    if fault == "bucket":
        bucket.bucket = "missing"
    else:
        monkeypatch.setitem(app.extensions, "files", BucketStorage(app, "files"))
    if fault == "credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "unused")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # where nothing listens afterwards
    if fault == "server":
        app.config["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{port}"
    for response in requests_of_every_kind(client, key):
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        for detail in ("missing", "redential", str(port)):
            assert detail not in response.text


def test_a_broken_server_is_503_and_costs_neither_threads_nor_descriptors(
    client: FlaskClient, broken: type[BrokenS3]
) -> None:
    answers = [
        b"",
        b"nonsense",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnonsense",
        b"HTTP/1.1 200 OK\r\nETag: 1\r\nLast-Modified: nonsense\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",  # for the bucket as well
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 8\r\n\r\nnonsense",
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
    ]

    def request_all() -> None:
        for answer in answers:
            broken.answer = answer
            assert client.get(url).status_code == 503, answer
            assert client.delete(url).status_code == 503, answer

    url = f"{URL}/{key_of(client)}"
    request_all()
    before = usage()
    for _ in range(3):
        request_all()
    assert usage() < before + len(answers)  # after six times as many requests


def key_of(client: FlaskClient) -> str:
    # {% if "jwt" in components %}
    account = client.get("/api/v1/auth/me").get_json()["id"]
    return KEY.replace("1/", f"{account}/", 1)
    # {% else %}
    return KEY
    # {% endif %}


def usage() -> int:
    return threading.active_count() + len(os.listdir("/dev/fd"))


def test_a_server_that_is_silent_is_503(
    app: Flask, client: FlaskClient, broken: type[BrokenS3]
) -> None:
    app.config["S3_READ_TIMEOUT"] = 0.1
    broken.answer = b"silence"
    assert client.get(f"{URL}/{key_of(client)}").status_code == 503
    assert send(client).status_code == 503


def test_a_download_that_breaks_off_is_not_complete(
    client: FlaskClient, broken: type[BrokenS3]
) -> None:
    broken.answer = HEADERS + b"half"
    with client.get(f"{URL}/{key_of(client)}") as response:
        assert response.content_length == 1000
        with pytest.raises(Exception, match="4"):  # of 1000 bytes
            _ = response.data


def test_a_presigned_form_allows_what_was_agreed_and_nothing_else(
    app: Flask, client: FlaskClient, bucket: BucketStorage
) -> None:
    app.config["S3_PUBLIC_URL"] = "https://s3.example.com"
    wanted = {"filename": "a.txt", "content_type": "text/plain", "max_size": 10}
    form = client.post(f"{URL}/presigned", json=wanted).get_json()
    assert form["url"] == f"https://s3.example.com/{bucket.bucket}"
    conditions = json.loads(b64decode(form["fields"]["policy"]))["conditions"]
    assert ["content-length-range", 0, 10] in conditions
    assert {"Content-Type": "text/plain"} in conditions
    assert {"Content-Disposition": "attachment; filename=a.txt"} in conditions
    assert {"key": bucket.prefix + form["key"]} in conditions
    assert {"bucket": bucket.bucket} in conditions


def test_a_presigned_url_is_signed_for_the_public_address(
    app: Flask, client: FlaskClient, bucket: BucketStorage
) -> None:
    app.config["S3_PUBLIC_URL"] = "https://s3.example.com"
    key = owned(client)
    url = urlsplit(client.get(f"{URL}/{key}/url?expires_in=60").get_json()["url"])
    assert url.netloc == "s3.example.com"
    assert url.path == f"/{bucket.bucket}/{bucket.prefix}{key}"
    query = parse_qs(url.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]


def test_connections_are_reused(
    client: FlaskClient, bucket: BucketStorage, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{URL}/{owned(client)}"
    with caplog.at_level("DEBUG", "urllib3.connectionpool"):
        for _ in range(3):
            assert client.get(url).data == b"abc"
    opened = [record for record in caplog.records if "Starting new" in record.getMessage()]
    assert not opened


def test_production_requires_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_BUCKET_NAME", raising=False)
    with pytest.raises(ConfigError, match="S3_BUCKET_NAME"):
        load_settings("prod")


def test_boto3_is_not_imported_before_it_is_used() -> None:
    code = """
import sys
from app import create_app
create_app({"APP_ENV": "test", "S3_BUCKET_NAME": "files"})
print(sorted({"boto3", "botocore"} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr
# {% if "probes" in components %}


def test_readiness_asks_the_bucket(settings: dict[str, object], bucket: BucketStorage) -> None:
    configured = create_app(settings | {"S3_BUCKET_NAME": bucket.bucket})
    configured.extensions["files"].client = bucket.client
    check = get_readiness(configured).checks["s3"]
    check()
    configured.extensions["files"].bucket = "missing"
    with pytest.raises(Exception, match="Not Found"):
        check()
# {% endif %}
