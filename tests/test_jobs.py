"""Jobs on real workers, as the Procfile runs them, while things break: black boxes over HTTP."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from tests.combinations import render
from tests.servers import Broker, RabbitMQ, Redis
from tests.test_live import SCRIPTS, Server, serve

pytestmark = pytest.mark.integration

URL = "/api/v1/jobs"
CHECKSUM = {"kind": "checksum", "input": {"text": "a"}}
ENDED = {"SUCCESS", "FAILURE", "REVOKED"}

#: Kinds that take their time, or their worker along.
KINDS = """

class Nap(Schema):
    seconds: float


@job("nap")
def nap(given: Nap) -> int:
    import os
    import time

    from app.celery.runs import progress

    for tenth in range(10):
        time.sleep(given.seconds / 10)
        progress((tenth + 1) / 10)
    return os.getpid()


@job("poison")
def poison(given: Nap) -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    yield redis
    redis.send(signal.SIGCONT)
    redis.stop(signal.SIGKILL)


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[RabbitMQ]:
    folder = tmp_path / "rabbitmq"
    folder.mkdir()
    with closing(RabbitMQ(folder)) as rabbitmq:
        yield rabbitmq


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    """The one that a test's parameter names."""
    found: Broker = request.getfixturevalue(request.param)
    return found


def variables(broker: Broker, redis: Redis) -> dict[str, str]:
    """What a service is told: records and results are in Redis, whatever the broker."""
    return {"REDIS_URL": redis.url} | ({} if broker is redis else {"CELERY_BROKER_URL": broker.url})


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(template, tmp_path_factory.mktemp("jobs") / "service", ["celery", "probes"])


@pytest.fixture(scope="module")
def accounts(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service, where each job belongs to an account."""
    folder = tmp_path_factory.mktemp("jobs") / "accounts"
    service = make(template, folder, ["celery", "jwt", "probes"])
    migrate = [str(SCRIPTS / "flask"), "--app", "wsgi", "db", "upgrade"]
    subprocess.run(migrate, cwd=service, check=True)
    return service


def make(template: Path, folder: Path, components: list[str]) -> Path:
    """A service that knows the kinds of this module."""
    service = render(template, folder, components=components)
    with (service / "app" / "celery" / "checksum.py").open("a") as example:
        example.write(KINDS)
    return service


class Worker:
    """A worker of its own, in a process group of its own."""

    def __init__(self, service: Path, environment: dict[str, str]) -> None:
        line = (service / "Procfile").read_text().partition("worker: ")[2].splitlines()[0]
        self.log = service / "worker.txt"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(SCRIPTS / line.split()[0]), *line.split()[1:]],
                cwd=service,
                env=os.environ | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Running:
    """A running service, and the workers that were started for it."""

    server: Server
    service: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def start(self) -> Worker:
        environment = self.environment | {"WORKER_CONCURRENCY": "4"}
        self.workers.append(Worker(self.service, environment))
        return self.workers[-1]

    def jobs(self, *arguments: str) -> str:
        """What ``flask jobs`` prints."""
        command = [str(SCRIPTS / "flask"), "--app", "wsgi", "jobs", *arguments]
        environment = os.environ | self.environment
        return subprocess.check_output(command, cwd=self.service, env=environment, text=True)


@contextmanager
def working(service: Path, **environment: str) -> Iterator[Running]:
    (service / "worker.txt").unlink(missing_ok=True)
    with serve(service, **environment) as server:
        running = Running(server, service, environment)
        try:
            yield running
        finally:
            for worker in running.workers:
                worker.kill()


def submit(server: Server, kind: str, **given: object) -> str:
    # A connection of its own: the server closes one that was idle for ten seconds.
    job, headers = {"kind": kind, "input": given}, server.client.headers
    response = httpx.post(f"{server.address}{URL}", json=job, headers=headers, timeout=30)
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def wait(server: Server, location: str, limit: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + limit
    while (job := server.client.get(location).json())["state"] not in ENDED:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    found: dict[str, Any] = job
    return found


def wait_for_all(server: Server, locations: list[str], limit: float) -> Counter[str]:
    deadline = time.monotonic() + limit
    return Counter(
        wait(server, location, deadline - time.monotonic())["state"] for location in locations
    )


@pytest.mark.parametrize(
    ("broker", "whole_group"),
    [("redis", True), ("redis", False), ("rabbitmq", True)],
    indirect=["broker"],
)
def test_of_1000_jobs_none_is_lost_with_five_killed_workers(
    service: Path, broker: Broker, redis: Redis, whole_group: bool
) -> None:
    with working(service, **variables(broker, redis)) as running:
        server = running.server
        jobs = [submit(server, "nap", seconds=0.1) for _ in range(1000)]
        for _ in range(5):
            worker = running.start()
            time.sleep(6)
            if whole_group:
                worker.kill()
            else:  # its processes end by themselves, when they see that it is gone
                worker.process.kill()
        running.start()
        assert wait_for_all(server, jobs, 180) == {"SUCCESS": 1000}


@pytest.mark.parametrize(
    ("broker", "how"),
    [("redis", signal.SIGTERM), ("redis", signal.SIGKILL), ("rabbitmq", signal.SIGKILL)],
    indirect=["broker"],
)
def test_of_1000_jobs_none_is_lost_with_a_restart_of_the_broker(
    service: Path, broker: Broker, redis: Redis, how: signal.Signals
) -> None:
    with working(service, **variables(broker, redis)) as running:
        server = running.server
        jobs = [submit(server, "nap", seconds=0.1) for _ in range(1000)]
        time.sleep(1.5)  # the log of a Redis that is killed is a second old
        running.start()
        time.sleep(6)
        broker.stop(how)
        time.sleep(2)
        broker.start()
        time.sleep(1)
        assert wait_for_all(server, jobs, 180) == {"SUCCESS": 1000}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGSTOP])
@pytest.mark.parametrize(
    ("chosen", "broker", "clients"),
    [("service", "redis", 64), ("service", "rabbitmq", 32), ("accounts", "redis", 64)],
    indirect=["broker"],
)
def test_without_a_broker_it_is_503_within_2_seconds_until_it_is_back(
    request: pytest.FixtureRequest,
    chosen: str,
    broker: Broker,
    clients: int,
    redis: Redis,
    how: signal.Signals,
) -> None:
    service = request.getfixturevalue(chosen)
    with working(service, **variables(broker, redis)) as running:
        server = running.server
        if chosen == "accounts":
            server.login()
        running.start()
        wait(server, submit(server, "checksum", text="a"))
        broker.send(how)
        time.sleep(0.5)

        # A client for each thread: in one that is shared, a thread closes what another reads from.
        idle: SimpleQueue[httpx.Client] = SimpleQueue()

        def attempt(_: int) -> float:
            client = idle.get()
            started = time.perf_counter()
            response = client.post(URL, json=CHECKSUM)
            seconds = time.perf_counter() - started
            idle.put(client)
            assert response.status_code == 503
            assert response.headers["Retry-After"]
            return seconds

        limits = httpx.Limits(max_keepalive_connections=0)
        with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
            for _ in range(clients):
                client = httpx.Client(base_url=server.address, timeout=30, limits=limits)
                client.headers = server.client.headers
                idle.put(stack.enter_context(client))
            slowest = max(pool.map(attempt, range(320)))
        print(f"slowest answer without the broker ({how.name}): {slowest:.2f} s")
        assert slowest < 2
        assert httpx.get(f"{server.address}/ready").json()["checks"]["jobs"] is False
        if how is signal.SIGSTOP:
            broker.send(signal.SIGCONT)
        else:
            broker.stop()
            broker.start()
        time.sleep(1.1)
        assert wait(server, submit(server, "checksum", text="a"))["state"] == "SUCCESS"
        for _ in range(50):  # a check that hung is waited for first
            if ready := httpx.get(f"{server.address}/ready").json()["ready"]:
                break
            time.sleep(0.1)
        assert ready is True


def submit_paced(server: Server, connections: int, rate: int, seconds: int) -> list[float]:
    """The latencies, in seconds, of jobs at a constant rate, from when each is due."""
    host, body = server.address.removeprefix("http://"), json.dumps(CHECKSUM)
    started = time.perf_counter() + 0.5

    def keep_pace(number: int) -> list[float]:
        latencies = []
        with closing(HTTPConnection(host, timeout=30)) as connection:
            for turn in range(number, rate * seconds, connections):
                due = started + turn / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                connection.request("POST", URL, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                latencies.append(time.perf_counter() - due)
                assert response.status == 202
        return latencies

    with ThreadPoolExecutor(connections) as pool:
        return [one for some in pool.map(keep_pace, range(connections)) for one in some]


def test_a_job_is_submitted_within_25_ms_while_all_workers_are_busy(
    service: Path, redis: Redis
) -> None:
    with working(service, REDIS_URL=redis.url) as running:
        running.start()
        submit_paced(running.server, 32, 1000, 5)  # more than they do until the end
        latencies = sorted(submit_paced(running.server, 32, 300, 10))
        waits = submit(running.server, "checksum", text="a")
        assert running.server.client.get(waits).json()["state"] == "PENDING"
    p99 = latencies[int(0.99 * len(latencies))]
    print(f"300 jobs a second over 32 connections: p99 {1000 * p99:.1f} ms")
    assert p99 <= 0.025


@pytest.fixture(params=["redis", "rabbitmq", "files"])
def running(request: pytest.FixtureRequest, service: Path, tmp_path: Path) -> Iterator[Running]:
    """The service with a worker, on each kind of broker."""
    environment = {"JOB_LEASE": "3", "JOB_TIME_LIMIT": "8"}
    if request.param == "files":
        environment["JOB_DIR"] = str(tmp_path / "jobs")
    else:
        found = [request.getfixturevalue(name) for name in (request.param, "redis")]
        environment |= variables(*found)
    with working(service, **environment) as running:
        running.start()
        yield running


def test_a_running_job_tells_its_progress_and_is_cancelled(
    running: Running,
) -> None:
    server = running.server
    location, seen = submit(server, "nap", seconds=2), set()
    while (job := server.client.get(location).json())["progress"] < 0.5:
        seen.add(job["progress"])
        time.sleep(0.02)
    assert len(seen) > 2
    assert server.client.delete(location).json()["state"] == "REVOKED"
    time.sleep(2)
    assert server.client.get(location).json()["state"] == "REVOKED"
    log = (server.log.parent / "worker.txt").read_text()
    assert location.rpartition("/")[2] in log
    pid = wait(server, submit(server, "nap", seconds=0.1))["result"]
    assert isinstance(pid, int)


def test_a_job_that_takes_too_long_or_its_worker_along_fails(
    running: Running,
) -> None:
    server = running.server
    slow, deadly = submit(server, "nap", seconds=30), submit(server, "poison", seconds=0)
    assert wait(server, slow)["error"]["kind"] == "time_limit"
    assert wait(server, deadly)["error"]["kind"] == "worker_lost"
    assert wait(server, submit(server, "checksum", text="a"))["state"] == "SUCCESS"


def test_a_job_is_not_given_away_while_its_worker_lives(
    running: Running,
) -> None:
    server = running.server
    running.start()
    jobs = [submit(server, "nap", seconds=4) for _ in range(8)]
    assert wait_for_all(server, jobs, 60) == {"SUCCESS": 8}
    assert "job dropped" not in (server.log.parent / "worker.txt").read_text()


def test_the_commands_ask_the_workers(running: Running) -> None:
    server = running.server
    wait(server, submit(server, "checksum", text="a"))
    assert "4 processes" in running.jobs("workers")
    for words in (["active"], ["show"]):
        location = submit(server, "nap", seconds=7.5)
        job_id = location.rpartition("/")[2]
        while server.client.get(location).json()["state"] == "PENDING":
            time.sleep(0.05)
        shown = running.jobs(*words, *([job_id] if words == ["show"] else []))
        assert job_id in shown
    assert '"state": "STARTED"' in shown
