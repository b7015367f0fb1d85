"""How Celery is configured, and real workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
# {% if database or serving %}
from runpy import run_path
# {% endif %}
from ssl import CERT_REQUIRED
from uuid import UUID

import pytest
from celery import Celery, states
from celery.apps.beat import Beat
# {% if database or serving %}
from flask import Flask
# {% endif %}

from app import create_app
from app.api import Schema
from app.celery import service
from app.celery.application import backend_url, celery_settings
from app.celery.registry import job
from app.celery.schemas import JobIn
from app.celery.stores import FileStore, RedisStore
from app.config import ROOT, ConfigError, celery_url, load_settings
# {% if database %}
from app.database import db
# {% endif %}

EMPTY = {"REDIS_URL": None, "CELERY_BROKER_URL": None, "CELERY_RESULT_BACKEND": None}


def configured(**given: object) -> Celery:
    """A Celery application as ``create_app`` configures it."""
    config = load_settings({**EMPTY, "APP_ENV": "test", **given})
    store = backend_url(config["CELERY_RESULT_BACKEND"])
    celery_app = Celery(backend=store, set_as_current=False)
    celery_app.config_from_object(celery_settings(config))
    return celery_app


@pytest.mark.parametrize(
    ("given", "broker", "store"),
    [
        ({}, "memory://", "cache+memory://"),
        ({"CELERY_BROKER_URL": "filesystem://"}, "filesystem://", "file:///jobs/results"),
        ({"REDIS_URL": "redis://a/0"}, "redis://a/0", "redis://a/0"),
        (
            {"REDIS_URL": "unix:///a.sock?db=1"},
            "redis+socket:///a.sock?virtual_host=1",
            "redis+socket:///a.sock?virtual_host=1",
        ),
        (
            {"CELERY_BROKER_URL": "rediss://b/1?ssl_ca_certs=c", "REDIS_URL": "redis://a/0"},
            "rediss://b/1?ssl_ca_certs=c&ssl_cert_reqs=required",
            "redis://a/0",
        ),
        (
            {"CELERY_BROKER_URL": "amqp://b//", "CELERY_RESULT_BACKEND": "redis://b/2"},
            "amqp://b//",
            "redis://b/2",
        ),
    ],
)
def test_broker_and_result_store_by_url(given: dict[str, str], broker: str, store: str) -> None:
    config = load_settings({**EMPTY, "APP_ENV": "test", "JOB_DIR": Path("/jobs"), **given})
    assert (config["CELERY_BROKER_URL"], config["CELERY_RESULT_BACKEND"]) == (broker, store)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"CELERY_BROKER_URL": "amqp://b//"}, "CELERY_RESULT_BACKEND"),
        ({"CELERY_BROKER_URL": "redis://b", "CELERY_RESULT_BACKEND": "rpc://"}, "RESULT_BACKEND"),
        ({"CELERY_BROKER_URL": "localhost:6379"}, "CELERY_BROKER_URL"),
        ({"APP_ENV": "prod"}, "CELERY_BROKER_URL: .* to a broker"),
    ],
)
def test_unusable_servers_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings({**EMPTY, "APP_ENV": "test", **given})


def test_names_carry_the_key_prefix() -> None:
    celery_app = configured(REDIS_URL="redis://a/0", KEY_PREFIX="shop")
    conf = celery_app.conf
    assert {conf.task_default_queue, conf.control_exchange, conf.event_exchange} == {
        "shop.jobs",
        "shop.control",
        "shop.events",
    }
    assert conf.broker_transport_options["global_keyprefix"] == "shop:"
    assert celery_app.backend.get_key_for_task("1").startswith(b"shop:")


def test_redis_certificates_are_verified() -> None:
    celery_app = configured(REDIS_URL="rediss://a/0")
    assert isinstance(celery_app.backend, RedisStore)
    assert celery_app.backend.connparams["ssl_cert_reqs"] is CERT_REQUIRED
    assert celery_app.connection_for_read().ssl == {"ssl_cert_reqs": CERT_REQUIRED}


def test_beat_runs_registered_tasks_and_keeps_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    beat = Beat(app=configured())
    scheduler = beat.Service(beat.app, scheduler_cls=beat.scheduler_cls).get_scheduler()
    scheduled = {entry.task for entry in scheduler.schedule.values()}
    assert scheduled
    assert scheduled <= set(beat.app.tasks)
    assert list(tmp_path.iterdir()) == []


def test_results_in_files(tmp_path: Path) -> None:
    app = Celery(set_as_current=False)
    store = FileStore(f"file://{tmp_path}/results", app=app, expires=60)
    store.set(b"celery-task-meta-1", "one")
    store.set(b"celery-task-meta-1", b"two")
    assert store.get(b"celery-task-meta-1") == b"two"
    (file,) = (tmp_path / "results").iterdir()
    store.cleanup()
    assert file.exists()
    os.utime(file, (0, 0))
    store.cleanup()
    assert store.get(b"celery-task-meta-1") is None


# {% if database or serving %}
def test_worker_process_is_prepared(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("app.create_app", lambda: app)
    monkeypatch.setitem(app.extensions, "celery", Celery(set_as_current=False))
    done: list[object] = []
    # {% if serving %}
    monkeypatch.setattr("app.serving.models.load_models", done.append)
    # {% endif %}
    # {% if database %}
    with app.app_context():
        monkeypatch.setattr(db.engine, "dispose", lambda close: done.append(close))
    # {% endif %}
    run_path(str(ROOT / "make_celery.py"))["start_process"]()
    # {% if database and serving %}
    assert done == [False, app]  # the parent's connections stay open
    # {% elif database %}
    assert done == [False]  # the parent's connections stay open
    # {% else %}
    assert done == [app]
    # {% endif %}


# {% endif %}
class File(Schema):
    """A path."""

    path: str


@job("interrupted")
def interrupt(body: File) -> None:
    """Take long, but only the first time."""
    if not Path(body.path).exists():
        Path(body.path).touch()
        time.sleep(200)


@pytest.fixture(params=["redis", "files"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables that web and worker share."""
    shared = {"APP_ENV": "test", "KEY_PREFIX": tmp_path.name}
    if request.param == "redis":
        url = celery_url(request.getfixturevalue("redis_url"))
        return shared | {"CELERY_BROKER_URL": str(url)}
    return shared | {"CELERY_BROKER_URL": "filesystem://localhost", "JOB_DIR": str(tmp_path)}


@pytest.fixture
def web(
    settings: dict[str, object], servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The service that submits jobs."""
    # {% if "jwt" in components %}
    monkeypatch.setattr(service, "owner_id", lambda: 1)
    monkeypatch.setattr(service, "may_access", lambda owner: owner == 1)
    # {% endif %}
    with create_app(settings | servers).test_request_context():
        yield


@contextmanager
def worker(servers: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker as the Procfile starts it, which knows the jobs of this module too."""
    command = (ROOT / "Procfile").read_text().partition("worker: ")[2].splitlines()[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [*command.split(), "--include", __name__],
        cwd=ROOT,
        env=os.environ | servers | {"WORKER_CONCURRENCY": "2", "PATH": path},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(job_id: str, state: str) -> None:
    deadline = time.monotonic() + 60
    while (job := service.get(UUID(job_id))).state != state:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


@pytest.mark.integration
@pytest.mark.usefixtures("web")
def test_stopped_worker_returns_its_job_to_the_queue(
    servers: dict[str, str], tmp_path: Path
) -> None:
    path = str(tmp_path / "started")
    slow = service.submit(JobIn(kind="interrupted", input={"path": path})).id
    with worker(servers) as process:
        wait(slow, states.STARTED)
        quick = service.submit(JobIn(kind="checksum", input={"text": "a"})).id
        wait(quick, states.SUCCESS)
        process.terminate()
        process.wait(60)
    with worker(servers):
        wait(slow, states.SUCCESS)
