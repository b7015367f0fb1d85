"""Jobs over HTTP, and how a worker runs them. Broker and results are in memory here."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from celery import states
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from flask import Flask
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError

from app.api import Schema
from app.celery.execution import JobError, progress
from app.celery.registry import job
# {% if "jwt" in components %}
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
    """The job ``trial``: tests decide what it does, and see how often it ran."""

    def __init__(self) -> None:
        self.does: Callable[[], object] = lambda: None
        self.runs = 0

    def fail(self, error: Exception, times: int = 100) -> None:
        """Raise ``error`` in the first runs."""

        def does() -> str:
            if self.runs <= times:
                raise error
            return "done"

        self.does = does


TRIAL = Trial()


@job("trial", retry_for=(ZeroDivisionError,))
def run_trial(body: Nothing) -> object:
    TRIAL.runs += 1
    return TRIAL.does()


@pytest.fixture
def trial() -> Trial:
    TRIAL.__init__()  # type: ignore[misc]
    return TRIAL


def submit(client: FlaskClient, kind: str = "trial", **body: object) -> str:
    """Submit a job, and return its URL."""
    response = client.post(URL, json={"kind": kind, "input": body})
    assert response.status_code == 202
    return str(response.headers["Location"])


def test_job_succeeds(client: FlaskClient, work: Work) -> None:
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
        ({"kind": "checksum", "input": {"text": "a", "more": 1}}, ["input.more"]),
        ({"kind": "nonsense", "input": {}}, ["kind"]),
        ({"kind": "celery.backend_cleanup", "input": {}}, ["kind"]),
        ({"kind": "checksum", "input": []}, ["input"]),
    ],
)
def test_bad_input_is_422(client: FlaskClient, body: dict[str, Any], fields: list[str]) -> None:
    response = client.post(URL, json=body)
    assert (response.status_code, response.mimetype) == (422, PROBLEM_JSON)
    assert [error["field"] for error in response.get_json()["errors"]] == fields


def test_unknown_job_is_404(client: FlaskClient) -> None:
    for path in (UNKNOWN, f"{URL}/1"):
        assert client.get(path).status_code == client.delete(path).status_code == 404


# {% if "jwt" in components %}
def test_job_belongs_to_its_owner(app: Flask, client: FlaskClient, work: Work) -> None:
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
def test_running_job_has_progress(
    client: FlaskClient, work: Work, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.celery.execution.PROGRESS_INTERVAL", 0)
    location, seen = submit(client), []

    def half() -> None:
        progress(0.5)
        seen.append(client.get(location).get_json())

    trial.does = half
    work()
    assert [(job["state"], job["progress"]) for job in seen] == [("STARTED", 0.5)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("password=hunter2"), "internal"),
        (JobError("no_face", "No face found."), "no_face"),
        (SoftTimeLimitExceeded(), "time_limit"),
        (TimeLimitExceeded(1), "time_limit"),
        (MemoryError(), "memory"),
    ],
)
def test_failed_job_has_an_error_without_internals(
    client: FlaskClient, work: Work, trial: Trial, error: Exception, kind: str
) -> None:
    trial.fail(error)
    location = submit(client)
    work()
    response = client.get(location)
    assert response.get_json()["state"] == states.FAILURE
    assert response.get_json()["error"]["kind"] == kind
    assert "hunter2" not in response.text
    assert trial.runs == 1


@pytest.mark.parametrize("result", ["\ud800", {"x": object()}])
def test_result_that_is_not_json_is_a_failure(
    client: FlaskClient, work: Work, trial: Trial, result: object
) -> None:
    trial.does = lambda: result
    location = submit(client)
    work()
    assert client.get(location).get_json()["error"]["kind"] == "internal"


@pytest.mark.parametrize("error", [ConnectionError, ZeroDivisionError])
def test_transient_errors_are_retried(
    client: FlaskClient, work: Work, trial: Trial, error: type[Exception]
) -> None:
    trial.fail(error("password=hunter2"))
    location = submit(client)
    work()
    assert trial.runs == 4
    assert client.get(location).get_json()["error"]["kind"] == "unavailable"


def test_retry_can_succeed(client: FlaskClient, work: Work, trial: Trial) -> None:
    trial.fail(ConnectionError(), times=1)
    location = submit(client)
    work()
    assert client.get(location).get_json()["result"] == "done"


def test_cancelled_job_does_not_run(client: FlaskClient, work: Work, trial: Trial) -> None:
    location = submit(client)
    assert client.delete(location).get_json()["state"] == states.REVOKED
    work()
    assert trial.runs == 0
    assert client.get(location).get_json()["state"] == states.REVOKED


def test_finished_job_cannot_be_cancelled(client: FlaskClient, work: Work) -> None:
    location = submit(client, "checksum", text="a")
    work()
    assert client.delete(location).get_json() == client.get(location).get_json()
    assert client.get(location).get_json()["state"] == states.SUCCESS


def test_finished_job_does_not_run_again(
    app: Flask, client: FlaskClient, work: Work, trial: Trial
) -> None:
    """Its worker died after storing the result, and before acknowledging the message."""
    job_id = submit(client).rpartition("/")[2]
    work()
    app.extensions["celery"].tasks["trial"].apply_async(("{}",), task_id=job_id)
    work()
    assert trial.runs == 1


@pytest.mark.parametrize(("deliveries", "runs"), [(1, 1), (2, 0)])
def test_job_that_is_always_interrupted_fails(
    app: Flask, client: FlaskClient, work: Work, trial: Trial, deliveries: int, runs: int
) -> None:
    app.config["JOB_MAX_DELIVERIES"] = 2
    location = submit(client)
    started = {"progress": 0.0, "deliveries": deliveries}
    backend = app.extensions["celery"].backend
    backend.store_result(location.rpartition("/")[2], started, states.STARTED)
    work()
    assert trial.runs == runs
    assert (client.get(location).get_json()["state"] == states.FAILURE) is (runs == 0)


def test_expired_job_is_404_and_does_not_run(
    app: Flask, client: FlaskClient, work: Work, trial: Trial
) -> None:
    location = submit(client)
    app.extensions["celery"].backend.forget(f"job-{location.rpartition('/')[2]}")
    work()
    assert client.get(location).status_code == 404
    assert trial.runs == 0


@pytest.mark.parametrize("error", [OperationalError, OSError])
def test_broker_outage_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise error("amqp://user:hunter2@host")

    monkeypatch.setitem(app.extensions, "jobs_failed_at", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(app.extensions["celery"].tasks["checksum"], "apply_async", refuse)
        response = client.post(URL, json=CHECKSUM)
    assert (response.status_code, response.mimetype) == (503, PROBLEM_JSON)
    assert response.headers["Retry-After"]
    assert "hunter2" not in response.text
    assert client.post(URL, json=CHECKSUM).status_code == 503  # fails fast
    monkeypatch.setattr("app.celery.routes.FAIL_FAST", 0)
    assert client.post(URL, json=CHECKSUM).status_code == 202


def test_jobs_are_counted(client: FlaskClient, work: Work, trial: Trial) -> None:
    submit(client)
    work()
    text = client.get("/metrics").text
    assert 'jobs_submitted_total{kind="trial"}' in text
    assert 'jobs_finished_total{kind="trial",state="SUCCESS"}' in text
    assert 'job_duration_seconds_count{kind="trial"}' in text
# {% if "probes" in components %}


def test_readiness_checks_the_result_store(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    readiness = get_readiness(app)
    monkeypatch.setattr(readiness, "checks", {"jobs": readiness.checks["jobs"]})
    assert anonymous.get("/ready").get_json()["checks"] == {"jobs": True}
    monkeypatch.setattr(app.extensions["celery"].backend, "get_task_meta", None)
    assert anonymous.get("/ready").get_json()["checks"] == {"jobs": False}
# {% endif %}
