"""Liveness and readiness."""

from threading import Event
from time import perf_counter

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.errors import PROBLEM_JSON
from app.probes import add_check


# {% if serving %}
@pytest.fixture(autouse=True)
def models(app: Flask) -> None:
    """Models are loaded, as in a process that has started."""
    # {% for name in components | select("in", ["sklearn", "torch"]) %}
    # {% filter replace("component", name) %}
    app.extensions["component"].get()
    # {% endfilter %}
    # {% endfor %}


# {% endif %}
def fail() -> None:
    raise RuntimeError("connection to 10.0.0.1 refused")


def test_health_is_alive(anonymous: FlaskClient) -> None:
    assert anonymous.get("/health").json == {"status": "alive"}


def test_ready_lists_every_check(app: Flask, anonymous: FlaskClient) -> None:
    add_check(app, "model", lambda: None)
    response = anonymous.get("/ready")
    assert response.status_code == 200
    assert response.get_json()["ready"] is True
    expected = {"model"}
    # {% if database %}
    expected.add("database")
    # {% endif %}
    # {% if "celery" in components %}
    expected.add("jobs")
    # {% endif %}
    # {% for name in components | select("in", ["sklearn", "torch"]) %}
    # {% filter replace("component", name) %}
    expected.add("component")
    # {% endfilter %}
    # {% endfor %}
    assert response.get_json()["checks"] == dict.fromkeys(expected, True)


def test_a_failing_check_is_503_without_details(app: Flask, anonymous: FlaskClient) -> None:
    add_check(app, "model", fail)
    response = anonymous.get("/ready")
    assert response.status_code == 503
    assert response.mimetype == PROBLEM_JSON
    assert response.headers["Retry-After"]
    assert response.get_json()["ready"] is False
    assert response.get_json()["checks"]["model"] is False
    assert "10.0.0.1" not in response.text
    assert anonymous.get("/health").status_code == 200


def test_a_hanging_check_times_out_and_is_not_started_again(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()
    calls: list[None] = []

    def hang() -> None:
        calls.append(None)
        assert released.wait(5)

    add_check(app, "model", hang)
    monkeypatch.setitem(app.config, "PROBE_TIMEOUT", 0.02)
    started = perf_counter()
    statuses = [anonymous.get("/ready").status_code for _ in range(3)]
    took = perf_counter() - started
    called = len(calls)
    released.set()
    assert statuses == [503, 503, 503]
    assert took < 1
    assert called == 1
    monkeypatch.setitem(app.config, "PROBE_TIMEOUT", 5)
    assert anonymous.get("/ready").status_code == 200
