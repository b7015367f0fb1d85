"""What surrounds every route: errors, request ids, headers, metrics, documentation."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
# {% if "socketio" in components %}
from runpy import run_path
from types import SimpleNamespace
# {% endif %}

import click
import pytest
import structlog
from flask import Flask, abort, request
from flask.testing import FlaskClient

from app import create_app, logs, security
# {% if "socketio" in components %}
from app.config import ROOT, ConfigError, TestSettings, load_settings
# {% else %}
from app.config import ConfigError, TestSettings, load_settings
# {% endif %}
from app.errors import PROBLEM_JSON, problem

SECRET = "a secret of more than thirty-two characters"
PRODUCTION = {
    "SECRET_KEY": SECRET,
    # {% if database %}
    "DATABASE_URL": "sqlite://",
    # {% endif %}
    # {% if "jwt" in components %}
    "JWT_SECRET_KEY": SECRET,
    # {% endif %}
    # {% if "celery" in components %}
    "CELERY_BROKER_URL": "memory://",
    # {% endif %}
    # {% if "openai" in components %}
    "OPENAI_API_KEY": SECRET,
    # {% endif %}
    # {% if "s3" in components %}
    "S3_BUCKET_NAME": "files",
    # {% endif %}
}


def test_the_service_says_hello(anonymous: FlaskClient) -> None:
    response = anonymous.get("/")
    assert response.status_code == 200
    assert response.get_json()["message"] == "hello from flask"
    assert response.get_json()["status"] == "ok"


def test_an_error_is_a_problem_document(anonymous: FlaskClient) -> None:
    response = anonymous.get("/nowhere")
    assert response.status_code == 404
    assert response.mimetype == PROBLEM_JSON
    assert set(response.get_json()) == {"type", "title", "status", "detail"}


def test_internal_errors_are_not_exposed(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("password=hunter2")

    monkeypatch.setitem(app.view_functions, "index.hello", broken)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    response = anonymous.get("/")
    assert response.status_code == 500
    assert response.mimetype == PROBLEM_JSON
    assert "hunter2" not in response.text
    assert "X-Request-ID" in response.get_json()["detail"]


def test_abort_accepts_a_response(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def teapot() -> str:
        abort(problem(418, "Short and stout."))

    monkeypatch.setitem(app.view_functions, "index.hello", teapot)
    assert anonymous.get("/").status_code == 418


def test_a_valid_request_id_is_accepted(anonymous: FlaskClient) -> None:
    for given in ("abc-123", "A.b_c"):
        response = anonymous.get("/", headers={"X-Request-ID": given})
        assert response.headers["X-Request-ID"] == given


def test_any_other_request_id_is_replaced(anonymous: FlaskClient) -> None:
    for given in ("", "two words", "x" * 129, "<script>"):
        response = anonymous.get("/", headers={"X-Request-ID": given})
        assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"]), given


def test_log_lines_are_json_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    formatter = dict(logs.logging_config("json", "INFO")["formatters"]["structured"])
    handler = logging.StreamHandler(StringIO())
    handler.setFormatter(formatter.pop("()")(**formatter))
    library = logging.getLogger("app.test")
    library.setLevel("INFO")
    library.addHandler(handler)
    monkeypatch.setattr(sys, "stderr", handler.stream)
    log = structlog.wrap_logger(
        library,
        processors=logs.own_processors("json"),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    try:
        with structlog.contextvars.bound_contextvars(request_id="abc"):
            log.info("hello", path=Path("x"), odd="\ud800", number=2**64)
            log.debug("quiet")
            try:
                raise ValueError
            except ValueError:
                log.exception("broken")
        library.info("from a %s", "library")
    finally:
        library.removeHandler(handler)
        library.setLevel(logging.NOTSET)
    first, second, third = map(json.loads, handler.stream.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("timestamp")).utcoffset() == timedelta(0)
    named = {"event": "hello", "level": "info", "logger": "app.test", "request_id": "abc"}
    assert first == named | {"path": "x", "odd": "\ud800", "number": 2**64}
    assert "ValueError" in second["exception"]
    assert third["event"] == "from a library"


def test_log_files_have_no_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    file = StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    (console,) = logs.renderers("console")
    line = console(None, "info", {"event": "hello", "level": "info", "user": "ann"})
    assert "hello" in line
    assert "user=ann" in line
    assert "\x1b" not in line


def test_each_request_is_logged_with_its_id(
    anonymous: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "app.requests"):
        anonymous.get("/?secret=1", headers={"X-Request-ID": "abc"})
    (line,) = (record.msg for record in caplog.records if record.name == "app.requests")
    assert isinstance(line, dict)
    assert (line["request_id"], line["method"], line["status"]) == ("abc", "GET", 200)
    assert line["path"] == "/"
    assert "secret" not in str(line)


def test_log_context_is_cleared_between_requests(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> dict[str, object]:
        return structlog.contextvars.get_contextvars()

    monkeypatch.setitem(app.view_functions, "index.hello", look)
    with structlog.contextvars.bound_contextvars(account="somebody else"):
        bound = anonymous.get("/", headers={"X-Request-ID": "abc"}).get_json()
    assert bound == {"request_id": "abc"}


def test_paths_are_logged_decoded(anonymous: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    cases = {"/%C3%BC%E6%97%A5": "/ü日", "/%FF": "/\N{REPLACEMENT CHARACTER}"}
    for written, logged in cases.items():
        with caplog.at_level("INFO", "app.requests"):
            anonymous.get(written)
        assert caplog.records[-1].msg["path"] == logged  # type: ignore[index]


def test_security_headers_are_on(anonymous: FlaskClient) -> None:
    headers = anonymous.get("/").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Strict-Transport-Security" not in headers
    assert "Strict-Transport-Security" in anonymous.get("/", base_url="https://a.example").headers


@pytest.fixture(scope="module")
def exposed(settings: dict[str, object]) -> FlaskClient:
    """A client of a service behind one proxy that allows two origins."""
    origins = "https://app.example.com, https://b.example.com"
    return create_app(settings | {"CORS_ORIGINS": origins, "PROXY_HOPS": 1}).test_client()


def test_cors_is_closed_unless_configured(anonymous: FlaskClient, exposed: FlaskClient) -> None:
    origin = {"Origin": "https://app.example.com"}
    assert "Access-Control-Allow-Origin" not in anonymous.get("/api/v1/", headers=origin).headers
    allowed = exposed.get("/api/v1/", headers=origin).headers
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "X-Request-ID" in allowed["Access-Control-Expose-Headers"]
    other = exposed.get("/api/v1/", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_cors_applies_to_the_api_only(exposed: FlaskClient) -> None:
    headers = exposed.get("/apix", headers={"Origin": "https://app.example.com"}).headers
    assert "Access-Control-Allow-Origin" not in headers


def test_responses_vary_by_origin(anonymous: FlaskClient, exposed: FlaskClient) -> None:
    for origin in ("https://app.example.com", "https://evil.example.com", None):
        headers = {"Origin": origin} if origin else {}
        assert exposed.get("/api/v1/", headers=headers).headers.getlist("Vary") == ["Origin"]
    assert "Vary" not in anonymous.get("/api/v1/").headers


def test_forwarded_headers_are_ignored_unless_configured(
    anonymous: FlaskClient, exposed: FlaskClient
) -> None:
    forwarded = {"X-Forwarded-Proto": "https"}
    behind = exposed.get("/", headers=forwarded)
    assert "Strict-Transport-Security" in behind.headers
    direct = anonymous.get("/", headers=forwarded)
    assert "Strict-Transport-Security" not in direct.headers


def behind(**hops: int | None) -> FlaskClient:
    """A client of an application that returns its view of the client and its own URL."""
    app = Flask("proxies")
    names = ("_FOR", "_PROTO", "_HOST", "_PREFIX")
    app.config.update({f"PROXY_HOPS{name}": None for name in names})
    app.config.update({f"PROXY_HOPS{name}": number for name, number in hops.items()})
    seen: Callable[[], list[str | None]] = lambda: [request.remote_addr, request.root_url]  # noqa: E731
    app.add_url_rule("/", "seen", seen)
    security.trust_proxies(app)
    return app.test_client()


FORWARDED = {
    "X-Forwarded-For": "192.0.2.1, 192.0.2.2, 192.0.2.3",
    "X-Forwarded-Host": "a.example, b.example",
    "X-Forwarded-Proto": "ftp, https",
    "X-Forwarded-Prefix": "/shop",
}


def test_trusted_proxies_can_differ_by_header() -> None:
    client = behind(**{"": 1, "_FOR": 2})
    seen = client.get("/", headers=FORWARDED).get_json()
    assert seen == ["192.0.2.2", "https://b.example/shop/"]
    seen = behind(**{"": 1, "_PREFIX": 0}).get("/", headers=FORWARDED).get_json()
    assert seen == ["192.0.2.3", "https://b.example/"]
    seen = behind(**{"": 0}).get("/", headers=FORWARDED).get_json()
    assert seen == ["127.0.0.1", "http://localhost/"]


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("198.51.100.8", "198.51.100.8"),
        ("198.51.100.8:50001", "198.51.100.8"),
        ("::ffff:198.51.100.8", "198.51.100.8"),
        ("[2001:db8:1:2:3::4]:443", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_client_address_drops_ports_and_groups_ipv6_networks(address: str, client: str) -> None:
    assert security.client_address(address) == client


def test_urls_have_the_path_prefix_of_a_proxy(exposed: FlaskClient) -> None:
    headers = {"X-Forwarded-Prefix": "/shop"}
    assert exposed.get("/openapi.json", headers=headers).get_json()["servers"] == [{"url": "/shop"}]
    assert exposed.get("/openapi.json").get_json()["servers"] == [{"url": "/"}]
    page = exposed.get("/docs", headers=headers).text
    assert 'src="/shop/docs/swagger-ui-bundle.js"' in page
    assert 'data-url="/shop/openapi.json"' in page


def test_metrics_are_labelled_by_route(anonymous: FlaskClient) -> None:
    anonymous.get("/scan/1")
    anonymous.open("/", method="BREW")
    text = anonymous.get("/metrics").text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"}' in text
    assert 'method="OTHER"' in text
    assert "scan" not in text
    assert 'http_request_duration_seconds_count{method="GET",route="unmatched"}' in text


def test_metrics_of_several_processes_are_added_up(
    anonymous: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    script = (
        "from sys import argv\n"
        "from prometheus_client import Counter\n"
        "counter = Counter('http_requests_total', 'Requests.', ['method', 'route', 'status'])\n"
        "counter.labels('GET', '/', 200).inc(float(argv[1]))\n"
    )
    for requests in ("2", "3"):
        subprocess.run([sys.executable, "-c", script, requests], check=True)
    text = anonymous.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/",status="200"} 5.0\n' in text


# {% if "socketio" in components %}
def test_gauges_of_ended_processes_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (1, 2):
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setenv("PORT", "0")
    # {% if serving %}
    monkeypatch.setenv("MODELS_AT_START", "0")  # the file sets it too
    # {% endif %}
    hooks = run_path(str(ROOT / "app" / "socketio" / "gunicorn.py"))
    hooks["child_exit"](None, SimpleNamespace(pid=1))
    assert [path.name for path in tmp_path.iterdir()] == ["gauge_livesum_2.db"]


# {% endif %}
def test_docs_load_nothing_from_other_hosts(anonymous: FlaskClient) -> None:
    page = anonymous.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self' 'sha256-" in policy
    for file in ("swagger-ui.css", "swagger-ui-bundle.js"):
        with anonymous.get(f"/docs/{file}") as response:
            assert response.status_code == 200


def test_the_openapi_document_is_built_once(
    anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = anonymous.get("/openapi.json")
    assert first.get_json()["openapi"] == "3.1.0"
    assert "/" in first.get_json()["paths"]
    monkeypatch.setattr("app.openapi.build", None)
    assert anonymous.get("/openapi.json").data == first.data


def test_production_lists_all_missing_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PRODUCTION:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError) as caught:
        create_app("prod")
    assert all(name in caught.value.message for name in PRODUCTION)


def test_production_logs_json(settings: dict[str, object]) -> None:
    assert load_settings({"APP_ENV": "prod", **PRODUCTION})["LOG_FORMAT"] == "json"


def test_an_empty_variable_is_ignored(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_HOPS", "")
    assert load_settings(settings)["PROXY_HOPS"] == 0


@pytest.mark.parametrize("secret", ["short", "only-for-development-never-in-production"])
def test_production_rejects_weak_secrets(secret: str) -> None:
    with pytest.raises(ConfigError, match="SECRET_KEY") as caught:
        create_app({"APP_ENV": "prod", **PRODUCTION, "SECRET_KEY": secret})
    assert secret not in caught.value.message


def test_an_invalid_secrets_dir_is_reported(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setitem(TestSettings.model_config, "secrets_dir", file)
    with pytest.raises(ConfigError, match="secrets_dir"):
        create_app(settings)


def test_an_unknown_profile_is_rejected() -> None:
    with pytest.raises(ConfigError, match="dev, test, prod"):
        create_app("staging")


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://[::1]:3000",
        "capacitor://localhost",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    ],
)
def test_origins_of_browsers_and_apps_are_allowed(settings: dict[str, object], origin: str) -> None:
    client = create_app(settings | {"CORS_ORIGINS": origin}).test_client()
    response = client.get("/api/v1/", headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == origin
    response = client.get("/api/v1/", headers={"Origin": f"{origin}.example.org"})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_dotenv_files_are_used_in_dev_only(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flask command loads ``.env`` in every profile; the settings must ignore it."""
    (tmp_path / ".env").write_text("LOG_LEVEL=ERROR\nCORS_ORIGINS=https://a.example\n")
    (tmp_path / ".flaskenv").write_text("FLASK_DEBUG=1\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")  # loaded by the flask command
    monkeypatch.setenv("FLASK_DEBUG", "1")  # loaded by the flask command, for itself
    monkeypatch.setenv("CORS_ORIGINS", "https://b.example")  # set in the shell
    with click.Context(click.Command("flask")):
        loaded = load_settings("test")
    assert loaded["LOG_LEVEL"] == "INFO"
    assert loaded["CORS_ORIGINS"] == ["https://b.example"]
    assert os.environ["FLASK_DEBUG"] == "1"


@pytest.mark.parametrize(
    "origins",
    [["*"], "null", "https://*.example.com", "example.com", "https://a.example.com/"],
)
def test_only_whole_origins_are_accepted(settings: dict[str, object], origins: object) -> None:
    with pytest.raises(ConfigError, match="CORS_ORIGINS"):
        create_app(settings | {"CORS_ORIGINS": origins})
