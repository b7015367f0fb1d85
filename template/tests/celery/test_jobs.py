"""Jobs over HTTP, and how a worker runs them. Messages and results stay in memory here."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from runpy import run_path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, current_task, states
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.signals import task_failure
from flask import Flask
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY

from app.api import Schema
from app.celery.application import GRACE
from app.celery.kinds import KINDS, job
from app.celery.runs import JobError, progress
from app.config import ROOT
# {% if database %}
from app.database import db
# {% endif %}
from app.errors import PROBLEM_JSON
# {% if "jwt" in components %}
from app.jwt import tokens
# {% endif %}
# {% if "probes" in components %}
from app.probes.readiness import get_readiness
# {% endif %}
# {% if "jwt" in components %}
from app.users.models import User
# {% endif %}

URL = "/api/v1/jobs"
UNKNOWN = f"{URL}/00000000-0000-4000-8000-000000000000"
CHECKSUM = {"kind": "checksum", "input": {"text": "a"}}

Work = Callable[[], None]


class Nothing(Schema):
    """No input."""


class Trial:
    """The job that tests run, of the kind ``trial``: what it does, and how often it ran."""

    def __init__(self) -> None:
        self.does: Callable[[], object] = lambda: None
        self.runs = 0


TRIAL = Trial()


@job("trial", retry_for=(ZeroDivisionError,), time_limit=5)
def run_trial(given: Nothing) -> object:
    TRIAL.runs += 1
    return TRIAL.does()


@pytest.fixture
def trial() -> Trial:
    TRIAL.__init__()  # type: ignore[misc]
    return TRIAL


def submit(client: FlaskClient, kind: str = "trial", **given: object) -> str:
    """The address of a new job."""
    response = client.post(URL, json={"kind": kind, "input": given})
    assert response.status_code == 202
    return str(response.headers["Location"])


def test_a_job_is_done(client: FlaskClient, work: Work) -> None:
    accepted = client.post(URL, json=CHECKSUM)
    assert accepted.status_code == 202
    waiting = {"id": accepted.get_json()["id"], "kind": "checksum", "state": "PENDING"}
    assert accepted.get_json() == waiting
    location = accepted.headers["Location"]
    assert client.get(location).get_json() == waiting | {"progress": 0}
    work()
    done = {"state": "SUCCESS", "progress": 1, "result": {"sha256": sha256(b"a").hexdigest()}}
    assert client.get(location).get_json() == waiting | done


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"kind": "checksum", "input": {"text": 1}}, ["input.text"]),
        ({"kind": "checksum", "input": {}}, ["input.text"]),
        ({"kind": "checksum", "input": {"text": "a", "more": 1}}, ["input.more"]),
        ({"kind": "nonsense", "input": {}}, ["kind"]),
        ({"kind": "celery.backend_cleanup", "input": {}}, ["kind"]),
        ({"kind": "checksum"}, ["input"]),
        ({"kind": "checksum", "input": []}, ["input"]),
        ({"input": {}}, ["kind"]),
    ],
)
def test_bad_input_is_422_at_once(
    client: FlaskClient, body: dict[str, Any], fields: list[str]
) -> None:
    response = client.post(URL, json=body)
    assert (response.status_code, response.mimetype) == (422, PROBLEM_JSON)
    assert [error["field"] for error in response.get_json()["errors"]] == fields


def test_an_unknown_job_is_404(client: FlaskClient) -> None:
    for path in (UNKNOWN, f"{URL}/1", f"{URL}/job-1"):
        assert client.get(path).status_code == client.delete(path).status_code == 404


# {% if "jwt" in components %}
def test_a_job_is_its_owners_alone(app: Flask, client: FlaskClient, work: Work) -> None:
    location = submit(client, "checksum", text="a")
    with app.app_context():
        other = User(email="other@example.com", name="Somebody")
        db.session.add(other)
        db.session.commit()
        token = {"Authorization": f"Bearer {tokens.issue(other).access_token}"}
    assert client.get(location, headers=token).status_code == 404
    assert client.delete(location, headers=token).status_code == 404
    work()
    assert client.get(location).get_json()["state"] == states.SUCCESS


# {% endif %}
def test_a_running_job_tells_its_progress(
    client: FlaskClient, work: Work, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.celery.runs.PROGRESS_INTERVAL", 0)
    location, seen = submit(client), []

    def half() -> None:
        progress(0.5)
        seen.append(client.get(location).get_json())

    trial.does = half
    work()
    assert [(job["state"], job["progress"]) for job in seen] == [("STARTED", 0.5)]


def test_progress_outside_of_a_job_is_nothing() -> None:
    progress(0.5)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("password=hunter2"), "internal"),
        (JobError("no_face", "There is no face."), "no_face"),
        (SoftTimeLimitExceeded(), "time_limit"),
        (TimeLimitExceeded(1), "time_limit"),
        (MemoryError(), "memory"),
    ],
)
def test_a_failed_job_says_why_and_no_more(
    client: FlaskClient, work: Work, trial: Trial, error: Exception, kind: str
) -> None:
    def fail() -> None:
        raise error

    trial.does = fail
    location = submit(client)
    work()
    response = client.get(location)
    assert response.get_json()["state"] == states.FAILURE
    assert response.get_json()["error"]["kind"] == kind
    assert "hunter2" not in response.text
    assert trial.runs == 1


def test_a_result_that_no_client_can_be_given_is_a_failure(
    client: FlaskClient, work: Work, trial: Trial
) -> None:
    for result in ("\ud800", {"x": object()}):
        trial.does = lambda result=result: result  # type: ignore[misc]
        location = submit(client)
        work()
        assert client.get(location).get_json()["error"]["kind"] == "internal", result


@pytest.mark.parametrize("error", [ConnectionError, ZeroDivisionError])
def test_what_can_pass_is_tried_again(
    client: FlaskClient, work: Work, trial: Trial, error: type[Exception]
) -> None:
    def fail() -> None:
        raise error("password=hunter2")

    trial.does = fail
    location = submit(client)
    work()
    assert trial.runs == 4
    assert client.get(location).get_json()["error"]["kind"] == "unavailable"


def test_each_try_waits_longer(
    client: FlaskClient, work: Work, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.randrange", lambda stop: stop - 1)  # the longest it may wait
    started, waits = datetime.now(UTC), iter((0, 1, 2, 4))  # seconds

    def fail() -> None:
        due = datetime.fromisoformat(current_task.request.eta or started.isoformat())
        wait = timedelta(seconds=next(waits))
        assert started + wait <= due <= datetime.now(UTC) + wait
        raise ConnectionError

    trial.does = fail
    location = submit(client)
    work()
    assert client.get(location).get_json()["error"]["kind"] == "unavailable"
    assert list(waits) == []


def test_a_kind_can_have_its_own_limit(app: Flask) -> None:
    task = app.extensions["celery"].tasks["trial"]
    assert (task.soft_time_limit, task.time_limit) == (5, 5 + GRACE)


def test_what_passed_is_done(client: FlaskClient, work: Work, trial: Trial) -> None:
    def fail_once() -> str:
        if trial.runs == 1:
            raise ConnectionError
        return "done"

    trial.does = fail_once
    location = submit(client)
    work()
    assert client.get(location).get_json()["result"] == "done"


def test_a_cancelled_job_does_not_run(client: FlaskClient, work: Work, trial: Trial) -> None:
    location = submit(client)
    assert client.delete(location).get_json()["state"] == states.REVOKED
    work()
    assert trial.runs == 0
    assert client.get(location).get_json()["state"] == states.REVOKED


def test_what_has_ended_is_not_cancelled(client: FlaskClient, work: Work) -> None:
    location = submit(client, "checksum", text="a")
    work()
    assert client.delete(location).get_json() == client.get(location).get_json()
    assert client.get(location).get_json()["state"] == states.SUCCESS


def test_a_job_that_has_ended_does_not_run_again(
    app: Flask, client: FlaskClient, work: Work, trial: Trial
) -> None:
    """Its worker was lost between the result and the acknowledgement."""
    job_id = submit(client).rpartition("/")[2]
    work()
    app.extensions["celery"].tasks["trial"].apply_async(("{}",), task_id=job_id)
    work()
    assert trial.runs == 1


def test_a_job_that_ends_its_worker_is_given_up(
    app: Flask, client: FlaskClient, work: Work, trial: Trial
) -> None:
    app.config["JOB_MAX_DELIVERIES"] = 2
    for before, runs in ((1, 1), (2, 0)):
        trial.runs = 0
        location = submit(client)
        started = {"progress": 0.0, "deliveries": before}
        backend = app.extensions["celery"].backend
        backend.store_result(location.rpartition("/")[2], started, states.STARTED)
        work()
        assert trial.runs == runs
    assert client.get(location).get_json()["error"]["kind"] == "worker_lost"


def test_a_result_expires_with_its_job(
    app: Flask, client: FlaskClient, work: Work, trial: Trial
) -> None:
    location = submit(client)
    app.extensions["celery"].backend.forget(f"job-{location.rpartition('/')[2]}")
    work()
    assert client.get(location).status_code == 404
    assert trial.runs == 0


@pytest.mark.parametrize("error", [OperationalError, OSError])
def test_a_broker_that_is_down_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise error("amqp://user:hunter2@host")

    monkeypatch.setitem(app.extensions, "jobs_failed", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(app.extensions["celery"].tasks["checksum"], "apply_async", refuse)
        response = client.post(URL, json=CHECKSUM)
    assert (response.status_code, response.mimetype) == (503, PROBLEM_JSON)
    assert response.headers["Retry-After"]
    assert "hunter2" not in response.text
    assert client.post(URL, json=CHECKSUM).status_code == 503
    monkeypatch.setattr("app.celery.routes.PAUSE", 0)
    assert client.post(URL, json=CHECKSUM).status_code == 202


def test_jobs_are_counted(client: FlaskClient, work: Work, trial: Trial) -> None:
    submit(client)
    work()
    text = client.get("/metrics").text
    assert 'jobs_submitted_total{kind="trial"}' in text
    assert 'jobs_finished_total{kind="trial",state="SUCCESS"}' in text
    assert 'job_duration_seconds_count{kind="trial"}' in text


def test_a_job_that_is_killed_is_counted_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery tells of it when it sets the result, and when it ends the process."""
    task = app.extensions["celery"].tasks["trial"]
    monkeypatch.setattr(task, "name", kind := str(uuid4()))
    for _ in range(2):
        task_failure.send(task, task_id=kind, exception=TimeLimitExceeded(1))
    labels = {"kind": kind, "state": states.FAILURE}
    assert REGISTRY.get_sample_value("jobs_finished_total", labels) == 1


def test_a_forked_process_is_made_ready(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("app.create_app", lambda: app)
    monkeypatch.setitem(app.extensions, "celery", Celery(set_as_current=False))
    done: list[object] = []
    monkeypatch.setattr("app.celery.kinds.STARTS", [lambda: done.append("loaded")])
    # {% if database %}
    with app.app_context():
        monkeypatch.setattr(db.engine, "dispose", lambda close: done.append(close))
    run_path(str(ROOT / "make_celery.py"))["start_process"]()
    assert done == [False, "loaded"]  # the connections stay open for the parent
    # {% else %}
    run_path(str(ROOT / "make_celery.py"))["start_process"]()
    assert done == ["loaded"]
    # {% endif %}


def test_the_commands_show_what_there_is(app: Flask, client: FlaskClient) -> None:
    runner = app.test_cli_runner()
    shown = runner.invoke(args=["jobs", "show", submit(client).rpartition("/")[2]])
    assert '"state": "PENDING"' in shown.output
    missing = runner.invoke(args=["jobs", "show", UNKNOWN.rpartition("/")[2]])
    assert (missing.exit_code, missing.output.count("\n")) == (1, 1)


# {% if "probes" in components %}
def test_ready_asks_for_the_queue(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    readiness = get_readiness(app)
    monkeypatch.setattr(readiness, "checks", {"jobs": readiness.checks["jobs"]})
    assert anonymous.get("/ready").get_json()["checks"] == {"jobs": True}
    monkeypatch.setattr(app.extensions["celery"].backend, "get_task_meta", None)
    assert anonymous.get("/ready").get_json()["checks"] == {"jobs": False}


# {% endif %}
def test_every_kind_can_be_submitted(app: Flask) -> None:
    assert {"checksum", "trial"} <= set(KINDS) <= set(app.extensions["celery"].tasks)
