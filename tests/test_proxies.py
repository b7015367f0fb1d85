"""Services behind nginx under a path prefix."""

import json
from pathlib import Path

import httpx
import pytest

from tests.combinations import render
from tests.servers import nginx
from tests.test_live import serve

pytestmark = pytest.mark.integration


def test_urls_include_the_path_prefix(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["crud", "pagination"])
    environment = {"APP_ENV": "dev", "PROXY_HOPS": "1", "LOG_FORMAT": "json"}
    with serve(service, **environment) as server, nginx(tmp_path, server.address) as address:
        for number in range(2):
            body = {"email": f"{number}@example.com", "name": "Ann"}
            created = httpx.post(f"{address}/api/v1/users", json=body)
            assert created.status_code == 201
        assert created.headers["Location"] == "/shop/api/v1/users/2"
        page = httpx.get(f"{address}/api/v1/users", params={"limit": 1})
        assert page.links["next"]["url"].startswith(f"{address}/api/v1/users?")
        assert httpx.get(page.links["next"]["url"]).json()["items"][0]["id"] == 2
        assert httpx.get(f"{address}/openapi.json").json()["servers"] == [{"url": "/shop"}]
        assert httpx.get(f"{address}/docs/swagger-ui.css").status_code == 200
        assert "/shop/docs/swagger-ui.css" in httpx.get(f"{address}/docs").text
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["remote_addr"] for line in lines if line["event"] == "request"} == {"127.0.0.1"}


def test_api_docs_work_under_a_path_prefix(template: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    service = render(template, tmp_path / "service", components=["crud"])
    with (
        serve(service, PROXY_HOPS="1") as server,
        nginx(tmp_path, server.address) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.goto(f"{address}/docs")
        page.get_by_text("Create a user").wait_for()
        page.screenshot(path=tmp_path / "docs.png")
        browser.close()
    assert errors == []
