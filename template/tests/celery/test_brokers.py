"""Where messages and results are kept: files, and real servers."""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from queue import Empty
from select import select
from ssl import CERT_REQUIRED
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from celery.apps.beat import Beat
from flask import Flask
from kombu import Connection, Consumer, Exchange, Producer, Queue

from app import create_app
from app.celery import redis, service
from app.celery.application import GRACE, celery_settings, transport_options
from app.celery.files import Channel, FileStore
from app.celery.queue import SHOWN, encode
from app.celery.schemas import JobIn, SucceededJob
from app.config import ROOT, ConfigError, celery_url, load_settings

LEASE = 3.0  # seconds
QUEUE = Queue("celery", Exchange("celery"), "celery")
SERVERS = {"REDIS_URL": None, "CELERY_BROKER_URL": None, "CELERY_RESULT_BACKEND": None}


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
            {"REDIS_URL": "rediss://a/0"},
            "rediss://a/0?ssl_cert_reqs=required",
            "rediss://a/0?ssl_cert_reqs=required",
        ),
        (
            {"CELERY_BROKER_URL": "rediss://b/1?ssl_ca_certs=c", "REDIS_URL": "redis://a/0"},
            "rediss://b/1?ssl_ca_certs=c&ssl_cert_reqs=required",
            "redis://a/0",
        ),
        ({"CELERY_BROKER_URL": "redis://b/1"}, "redis://b/1", "redis://b/1"),
        (
            {"CELERY_BROKER_URL": "amqp://b//", "REDIS_URL": "redis://a/0"},
            "amqp://b//",
            "redis://a/0",
        ),
        (
            {"CELERY_BROKER_URL": "redis://b/1", "CELERY_RESULT_BACKEND": "redis://b/2"},
            "redis://b/1",
            "redis://b/2",
        ),
    ],
)
def test_broker_and_store_come_by_url(given: dict[str, str], broker: str, store: str) -> None:
    config = load_settings({**SERVERS, "APP_ENV": "test", "JOB_DIR": Path("/jobs"), **given})
    assert (config["CELERY_BROKER_URL"], config["CELERY_RESULT_BACKEND"]) == (broker, store)
    assert celery_settings(config)["broker_read_url"] == broker


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"CELERY_BROKER_URL": "amqp://b//"}, "CELERY_RESULT_BACKEND"),
        ({"CELERY_BROKER_URL": "redis://b", "CELERY_RESULT_BACKEND": "rpc://"}, "RESULT_BACKEND"),
        ({"CELERY_BROKER_URL": "localhost:6379"}, "CELERY_BROKER_URL"),
        ({"APP_ENV": "prod"}, "CELERY_BROKER_URL: .* name a broker"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({**SERVERS, "APP_ENV": "test", **given})


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("redis://a/0", False),
        ("rediss://a/0?ssl_cert_reqs=required", True),
        ("redis+socket:///a.sock?virtual_host=1", False),
    ],
)
def test_redis_is_read_by_our_channel(app: Flask, url: str, tls: bool) -> None:
    connection = app.extensions["celery"].connection_for_read(url)
    assert connection.get_transport_cls() is redis.Transport
    assert bool(connection.ssl) is tls


def configured(**given: object) -> Celery:
    """What a worker is configured with."""
    config = load_settings({**SERVERS, "APP_ENV": "test", **given})
    celery_app = Celery(backend=config["CELERY_RESULT_BACKEND"], set_as_current=False)
    celery_app.config_from_object(celery_settings(config))
    return celery_app


def test_certificates_of_a_redis_are_checked() -> None:
    celery_app = configured(REDIS_URL="rediss://a/0")
    assert celery_app.backend.connparams["ssl_cert_reqs"] is CERT_REQUIRED
    assert celery_app.connection_for_read().ssl == {"ssl_cert_reqs": CERT_REQUIRED}


def test_jobs_and_results_last_as_long_as_is_configured() -> None:
    celery_app = configured(JOB_TIME_LIMIT=60, JOB_RESULT_EXPIRES=3600)
    conf = celery_app.conf
    assert (conf.task_soft_time_limit, conf.task_time_limit) == (60, 60 + GRACE)
    assert celery_app.backend.expires == 3600


def test_a_job_is_acknowledged_when_it_has_ended() -> None:
    conf = configured().conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1


def test_expired_results_are_deleted_each_hour_by_a_beat_that_keeps_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    beat = Beat(app=configured())
    scheduler = beat.Service(beat.app, scheduler_cls=beat.scheduler_cls).get_scheduler()
    schedule = {entry.task: entry.schedule.run_every for entry in scheduler.schedule.values()}
    assert schedule == {"celery.backend_cleanup": timedelta(hours=1)}
    assert set(schedule) <= set(beat.app.tasks)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def channels(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Each a channel of its own, as processes have it, in one folder."""
    config = {"CELERY_BROKER_URL": "filesystem://", "JOB_DIR": tmp_path, "JOB_LEASE": LEASE}
    connections = []

    def connect() -> Any:
        connection = Connection(
            "filesystem://localhost",
            transport="app.celery.files:Transport",
            transport_options=transport_options(config),
        )
        connections.append(connection)
        return connection.default_channel

    yield connect
    for connection in connections:
        connection.close()


def send(channel: Channel, content: object) -> None:
    Producer(channel, QUEUE.exchange, "celery").publish(content, declare=[QUEUE])


def files(channel: Channel) -> tuple[int, int]:
    """How many messages wait, and how many are delivered."""
    return len(list(channel.queue.iterdir())), len(list(channel.delivered.iterdir()))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds go by, for those who look whether a lease has ended."""
    return lambda seconds: monkeypatch.setattr(
        "app.celery.files.time", lambda: time.time() + seconds
    )


def test_a_message_is_kept_until_it_is_acknowledged(channels: Callable[[], Any]) -> None:
    sender, receiver = channels(), channels()
    for number in range(3):
        send(sender, number)
    queue = QUEUE.bind(receiver)
    messages = [queue.get() for _ in range(3)]
    assert [message.payload for message in messages] == [0, 1, 2]
    assert files(receiver) == (0, 3)
    messages[0].ack()
    messages[1].reject()
    assert files(receiver) == (0, 1)
    messages[2].requeue()
    assert files(receiver) == (1, 0)
    assert queue.get(no_ack=False).payload == 2


def test_a_message_leaves_a_receiver_that_is_not_heard_of(
    channels: Callable[[], Any], later: Callable[[float], None]
) -> None:
    lost, other = channels(), channels()
    send(lost, "a")
    (file,) = lost.queue.iterdir()
    os.utime(file, (0, 0))  # it has waited for long
    message = QUEUE.bind(lost).get()
    other.renew([])
    lost.renew([message.delivery_tag])
    later(LEASE - 1)
    other.renew([])
    assert QUEUE.bind(other).get() is None
    later(LEASE + 1)
    lost.renew([message.delivery_tag])
    assert QUEUE.bind(other).get() is None
    other.renew([])
    assert QUEUE.bind(other).get().payload == "a"


def test_messages_between_workers_are_dropped(
    channels: Callable[[], Any], later: Callable[[float], None]
) -> None:
    channel = channels()
    channel._put("a.celery.pidbox", {"properties": {"delivery_tag": "1"}})
    channel._get("a.celery.pidbox")
    later(LEASE + 1)
    channel.renew([])
    assert files(channel) == (0, 0)


def test_a_message_for_redis_is_the_one_that_celery_sends(
    app: Flask, work: Callable[[], None]
) -> None:
    celery_app = app.extensions["celery"]
    with celery_app.connection_for_read() as connection:
        celery_app.tasks["checksum"].apply_async(("{}",), task_id="1", **SHOWN)
        sent = connection.default_channel._get("celery")
    made = json.loads(encode(celery_app, "1", "checksum", "{}"))
    made["properties"] |= SHOWN  # which Celery repeats there
    for message in (sent, made):
        message["body"] = json.loads(b64decode(message["body"]))
        del message["properties"]["delivery_tag"], message["properties"]["reply_to"]
    assert made == sent


def test_results_are_files_that_expire(tmp_path: Path) -> None:
    app = Celery(set_as_current=False)
    store = FileStore(f"file://{tmp_path}/results", app=app, expires=60)
    assert store.get(b"celery-task-meta-1") is None
    store.set(b"celery-task-meta-1", "one")
    store.set(b"celery-task-meta-1", b"two")
    assert store.get(b"celery-task-meta-1") == b"two"
    (file,) = (tmp_path / "results").iterdir()
    store.cleanup()
    assert file.exists()
    os.utime(file, (0, 0))
    assert store.get(b"celery-task-meta-1") is None
    store.cleanup()
    assert not file.exists()
    store.delete(b"celery-task-meta-1")


@pytest.fixture
def redis_channels(app: Flask, redis_url: str) -> Iterator[Callable[[], Any]]:
    """Each a channel of its own, as processes have it, in one Redis."""
    options = transport_options({"CELERY_BROKER_URL": "redis:", "JOB_LEASE": LEASE, "JOB_DIR": ""})
    options["global_keyprefix"] = str(uuid4())
    with ExitStack() as stack:

        def connect() -> Any:
            connect = app.extensions["celery"].connection_for_read
            connection = connect(celery_url(redis_url), transport_options=options)
            return stack.enter_context(connection).default_channel

        yield connect


def receive(channel: redis.Channel, queues: list[Queue], no_ack: bool = False) -> Any:
    received: list[Any] = []
    with Consumer(channel, queues, on_message=received.append, no_ack=no_ack):
        channel.connection.client.drain_events(timeout=10)
    return received[0]


def lists(channel: redis.Channel) -> tuple[int, int, int]:
    """How many messages wait, how many are taken, and how many delivered."""
    with channel.conn_or_acquire() as client:
        return client.llen("celery"), client.llen("celery.taken"), client.hlen("unacked")


@pytest.mark.integration
def test_a_message_that_its_worker_did_not_live_to_read_goes_to_another(
    redis_channels: Callable[[], Any],
) -> None:
    lost, other = redis_channels(), redis_channels()
    send(lost, "a")
    Consumer(lost, [QUEUE], on_message=pytest.fail).consume()
    lost.connection.cycle.on_poll_start()
    assert select([lost.client.connection._sock], [], [], 10)[0]
    assert lists(other) == (0, 1, 0)
    with Consumer(other, [QUEUE]):
        other.renew([])
        assert lists(other) == (0, 1, 0)
        other.renew([])
    assert lists(other) == (1, 0, 0)
    message = receive(other, [QUEUE])
    assert (message.payload, lists(other)) == ("a", (0, 0, 1))
    with pytest.raises(Empty):  # it was not killed, but hung: the message is not its own any more
        lost._brpop_read()
    assert lists(other) == (0, 0, 1)
    message.ack()
    assert lists(other) == (0, 0, 0)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("queues", "no_ack", "kept"),
    [([QUEUE], False, 1), ([QUEUE], True, 0), ([QUEUE, Queue("more")], False, 1)],
)
def test_a_message_is_taken_from_redis(
    redis_channels: Callable[[], Any], queues: list[Queue], no_ack: bool, kept: int
) -> None:
    channel = redis_channels()
    send(channel, "a")
    assert receive(channel, queues, no_ack).payload == "a"
    assert lists(channel) == (0, 0, kept)


@pytest.mark.integration
@pytest.mark.parametrize("content", ["?", "[1]", "{}"])
def test_what_is_no_message_is_not_read_twice(
    redis_channels: Callable[[], Any], content: str
) -> None:
    channel = redis_channels()
    with channel.conn_or_acquire() as client:
        client.lpush("celery", content)
    with pytest.raises((KeyError, TypeError, ValueError)):
        receive(channel, [QUEUE])
    assert lists(channel) == (0, 0, 0)


@pytest.fixture(params=["redis", "files"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables that web and worker share."""
    shared = {"APP_ENV": "test", "JOB_LEASE": str(LEASE)}
    if request.param == "redis":
        url = celery_url(request.getfixturevalue("redis_url"))
        return shared | {"CELERY_BROKER_URL": str(url)}
    return shared | {"CELERY_BROKER_URL": "filesystem://localhost", "JOB_DIR": str(tmp_path)}


@contextmanager
def worker(variables: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker, as the Procfile runs it."""
    command = (ROOT / "Procfile").read_text().partition("worker: celery ")[2].splitlines()[0]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", *command.split()],
        cwd=ROOT,
        env=os.environ | variables | {"WORKER_CONCURRENCY": "2"},
        start_new_session=True,
    )
    try:
        yield process
        process.terminate()
        process.wait(30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_done(ids: list[str]) -> None:
    deadline = time.monotonic() + 60
    for job_id in ids:
        while not isinstance(service.get(UUID(job_id)), SucceededJob):
            assert time.monotonic() < deadline, service.get(UUID(job_id))
            time.sleep(0.05)


@pytest.mark.integration
def test_a_killed_worker_loses_no_job(
    settings: dict[str, object], servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "owner", str)
    app = create_app(settings | servers)
    with app.test_request_context(), app.extensions["celery"].connection_for_write() as broker:
        ids = [service.submit(JobIn(kind="checksum", input={"text": "a"})).id for _ in range(100)]
        if isinstance(channel := broker.default_channel, redis.Channel):  # one is being taken
            channel.client.lmove("celery", "celery.taken", "LEFT", "RIGHT")
        for job_id in ids[:2]:
            with worker(servers) as process:
                wait_until_done([job_id])
                lower = min(os.nice(0) + app.config["WORKER_NICE"], 19)
                assert os.getpriority(os.PRIO_PROCESS, process.pid) == lower
                os.killpg(process.pid, signal.SIGKILL)
        with worker(servers):
            wait_until_done(ids)
