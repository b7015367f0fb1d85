"""Which requests open a connection, and the page."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.errors import PROBLEM_JSON

URL = "/socket.io/?EIO=4&transport=websocket"
HANDSHAKE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/socket.io/", {}),
        ("/socket.io/?EIO=4&transport=polling", {}),
        ("/socket.io/?EIO=3&transport=websocket", HANDSHAKE),
        (URL + "&sid=x", HANDSHAKE),
        (URL, HANDSHAKE | {"Upgrade": "h2c"}),
        (URL, HANDSHAKE | {"Connection": "keep-alive"}),
        (URL, HANDSHAKE | {"Sec-WebSocket-Version": "8"}),
        (URL, HANDSHAKE | {"Sec-WebSocket-Key": ""}),
    ],
)
def test_only_websockets_are_accepted(
    anonymous: FlaskClient, url: str, headers: dict[str, str]
) -> None:
    response = anonymous.get(url, headers=headers)
    assert (response.status_code, response.mimetype) == (400, PROBLEM_JSON)
    assert anonymous.post(url, headers=headers).status_code == 405


def test_pages_of_other_origins_may_not_connect(app: Flask, anonymous: FlaskClient) -> None:
    app.config["CORS_ORIGINS"] = ["https://app.example.com"]

    def status(origin: str) -> int:
        return anonymous.get(URL, headers=HANDSHAKE | {"Origin": origin}).status_code

    for origin in ("https://evil.example.com", "https://localhost", "http://localhost:1", "null"):
        assert status(origin) == 403, origin
    for origin in ("http://localhost", "https://app.example.com"):
        assert status(origin) == 503, origin  # allowed, but this server has no WebSockets


def test_behind_a_proxy_the_origin_is_the_public_one(settings: dict[str, object]) -> None:
    client = create_app(settings | {"PROXY_HOPS": 1}).test_client()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
    headers |= HANDSHAKE | {"Origin": "https://a.example"}
    assert client.get(URL, headers=headers).status_code == 503


def test_the_page_works_under_a_path_prefix(app: Flask, anonymous: FlaskClient) -> None:
    app.config["SOCKETIO_URL"] = "https://live.example.com"
    page = anonymous.get("/chat")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self' wss://live.example.com" in policy
    assert 'data-url="https://live.example.com"' in page.text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 2
    for url in loaded:
        assert url.startswith("chat/")
        with anonymous.get(f"/{url}") as file:
            assert file.status_code == 200
