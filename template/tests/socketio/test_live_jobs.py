"""Jobs as live messages. Messages and results stay in memory here."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import states
from flask import Flask
from flask.testing import FlaskClient

from app.celery.execution import notify
# {% if "jwt" in components %}
from app.database import db
from app.jwt import tokens
from app.jwt.models import Account
# {% endif %}
from app.socketio.jobs import get_jobs

CHECKSUM = {"kind": "checksum", "input": {"text": "a"}}

Connect = Callable[[], Any]
Work = Callable[[], None]


def submit(client: FlaskClient) -> str:
    job_id: str = client.post("/api/v1/jobs", json=CHECKSUM).get_json()["id"]
    return job_id


def told(client: Any) -> list[Any]:
    """What came of jobs since the last time."""
    return [one["args"][0] for one in client.get_received() if one["name"] == "job"]
# {% if "jwt" in components %}


def test_the_owner_is_told_of_each_change_and_nobody_else(
    app: Flask, client: FlaskClient, connect: Connect, work: Work
) -> None:
    with app.app_context():
        account = Account(email="eve@example.com", password_hash="unused")
        db.session.add(account)
        db.session.commit()
        auth = {"token": tokens.issue(account).access_token}
    owner, other = connect(), app.extensions["socketio"].test_client(app, auth=auth)
    job_id = submit(client)
    work()
    changes = told(owner)
    assert [change["state"] for change in changes] == ["PENDING", "STARTED", "SUCCESS"]
    assert changes[-1] == {"id": job_id, "kind": "checksum", "state": "SUCCESS", "progress": 1}
    assert not told(other)
# {% else %}


def test_who_watches_a_job_is_told_of_each_change(
    app: Flask, client: FlaskClient, connect: Connect, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "REDIS_URL", "redis://localhost")  # workers tell
    watcher, other = connect(), connect()
    job_id = submit(client)
    assert watcher.emit("watch", {"job": job_id}, callback=True)["state"] == "PENDING"
    work()
    changes = told(watcher)
    assert [change["state"] for change in changes] == ["STARTED", "SUCCESS"]
    assert changes[-1] == {"id": job_id, "kind": "checksum", "state": "SUCCESS", "progress": 1}
    assert not told(other)


def test_a_job_that_is_not_there_cannot_be_watched(connect: Connect) -> None:
    client = connect()
    for job_id, status in (("x", 422), (1, 422), ("00000000-0000-4000-8000-000000000000", 404)):
        assert client.emit("watch", {"job": job_id}, callback=True)["status"] == status
# {% endif %}


def test_who_cancels_a_job_is_told_so_once(
    app: Flask, client: FlaskClient, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["celery"].control, "revoke", lambda *_, **__: None)
    monkeypatch.setitem(app.config, "REDIS_URL", "redis://localhost")
    socket, job_id = connect(), submit(client)
    # {% if "jwt" not in components %}
    socket.emit("watch", {"job": job_id})
    # {% endif %}
    client.delete(f"/api/v1/jobs/{job_id}")
    assert told(socket)[-1]["state"] == "REVOKED"
    monkeypatch.setattr("app.socketio.jobs.current_task", object())  # it runs on for a moment
    with app.app_context():
        notify(job_id)
    assert not told(socket)


def test_without_redis_the_process_looks_after_jobs_by_itself(
    app: Flask, client: FlaskClient, connect: Connect, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        jobs = get_jobs()
    monkeypatch.setattr(jobs, "run", lambda: None)
    monkeypatch.setattr("app.celery.execution.LISTENERS", [])  # workers cannot reach us
    socket, job_id = connect(), submit(client)
    # {% if "jwt" not in components %}
    socket.emit("watch", {"job": job_id})
    # {% endif %}
    jobs.look_after(job_id)
    assert jobs.look()
    assert jobs.look()
    work()
    assert not jobs.look()
    assert [change["state"] for change in told(socket)] == [states.PENDING, states.SUCCESS]


def test_a_job_does_not_fail_where_nobody_can_be_told(
    app: Flask, client: FlaskClient, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job_id: str) -> None:
        raise ConnectionError(job_id)

    monkeypatch.setattr("app.celery.execution.LISTENERS", [fail])
    job_id = submit(client)
    work()
    assert client.get(f"/api/v1/jobs/{job_id}").get_json()["state"] == states.SUCCESS
