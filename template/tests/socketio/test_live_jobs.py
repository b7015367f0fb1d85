"""Jobs as live messages. Messages and results stay in memory here."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import states
from flask import Flask
from flask.testing import FlaskClient

# {% if "jwt" in components %}
from app.database import db
from app.jwt import tokens
# {% endif %}
from app.socketio.jobs import poll
# {% if "jwt" in components %}
from app.users.models import User
# {% endif %}

CHECKSUM = {"kind": "checksum", "input": {"text": "a"}}

Connect = Callable[[], Any]
Work = Callable[[], None]


def submit(client: FlaskClient) -> str:
    job_id: str = client.post("/api/v1/jobs", json=CHECKSUM).get_json()["id"]
    return job_id


def received(client: Any) -> list[Any]:
    """The changes of jobs that arrived since the last call."""
    return [one["args"][0] for one in client.get_received() if one["name"] == "job"]
# {% if "jwt" in components %}


def test_changes_of_a_job_reach_its_owner_only(
    app: Flask, client: FlaskClient, connect: Connect, work: Work
) -> None:
    with app.app_context():
        account = User(email="eve@example.com", name="Somebody")
        db.session.add(account)
        db.session.commit()
        auth = {"token": tokens.issue(account).access_token}
    owner, other = connect(), app.extensions["socketio"].test_client(app, auth=auth)
    job_id = submit(client)
    work()
    changes = received(owner)
    assert [change["state"] for change in changes] == ["PENDING", "STARTED", "SUCCESS"]
    assert changes[-1] == {"id": job_id, "kind": "checksum", "state": "SUCCESS", "progress": 1}
    assert not received(other)
# {% else %}


def test_changes_of_a_job_reach_its_watchers_only(
    app: Flask, client: FlaskClient, connect: Connect, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "REDIS_URL", "redis://localhost")  # workers send changes
    watcher, other = connect(), connect()
    job_id = submit(client)
    assert watcher.emit("watch", {"job": job_id}, callback=True)["state"] == "PENDING"
    work()
    changes = received(watcher)
    assert [change["state"] for change in changes] == ["STARTED", "SUCCESS"]
    assert changes[-1] == {"id": job_id, "kind": "checksum", "state": "SUCCESS", "progress": 1}
    assert not received(other)


def test_watching_an_unknown_job_is_an_error(connect: Connect) -> None:
    client = connect()
    for job_id, status in (("x", 422), (1, 422), ("00000000-0000-4000-8000-000000000000", 404)):
        assert client.emit("watch", {"job": job_id}, callback=True)["status"] == status
# {% endif %}


def test_without_redis_jobs_are_polled(
    app: Flask, client: FlaskClient, connect: Connect, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.celery.execution.LISTENERS", [])  # a worker can't reach this process
    socket, job_id = connect(), submit(client)
    # {% if "jwt" not in components %}
    socket.emit("watch", {"job": job_id})
    # {% else %}
    app.extensions["polled_jobs"][job_id] = None
    # {% endif %}
    with app.app_context():
        poll()
        poll()
        work()
        poll()
    assert [change["state"] for change in received(socket)] == [states.PENDING, states.SUCCESS]
    assert not app.extensions["polled_jobs"]
