"""Background jobs on real workers and brokers, which fail and restart; tested over HTTP."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
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

#: Jobs that take long or kill their process.
KINDS = """

class Nap(Schema):
    seconds: float


@job("nap")
def nap(body: Nap) -> int:
    import os
    import time

    from app.celery.execution import progress

    for tenth in range(10):
        time.sleep(body.seconds / 10)
        progress((tenth + 1) / 10)
    return os.getpid()


@job("poison")
def poison(body: Nap) -> None:
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
    """The broker that is named by a test's parameter."""
    found: Broker = request.getfixturevalue(request.param)
    return found


def variables(broker: Broker, redis: Redis) -> dict[str, str]:
    """The service's environment; results are stored in Redis with either broker."""
    return {"REDIS_URL": redis.url} | ({} if broker is redis else {"CELERY_BROKER_URL": broker.url})


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service that also has the jobs defined above."""
    folder = tmp_path_factory.mktemp("jobs") / "service"
    service = render(template, folder, components=["celery", "probes"])
    with (service / "app" / "celery" / "checksum.py").open("a") as example:
        example.write(KINDS)
    return service


class Worker:
    """A worker with its own node name and process group."""

    numbers = count(1)

    def __init__(self, service: Path, environment: dict[str, str]) -> None:
        line = (service / "Procfile").read_text().partition("worker: ")[2].splitlines()[0]
        self.log = service / "worker.txt"
        path = {"PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*line.split(), f"--hostname=worker{next(self.numbers)}@%h"],
                cwd=service,
                env=os.environ | environment | path,
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
    """A running service, and the workers started for it."""

    server: Server
    service: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def start(self) -> Worker:
        environment = self.environment | {"WORKER_CONCURRENCY": "4"}
        self.workers.append(Worker(self.service, environment))
        return self.workers[-1]

    def celery(self, *arguments: str) -> str:
        """What a ``celery`` command prints."""
        command = [str(SCRIPTS / "celery"), "--quiet", "--app", "make_celery", *arguments]
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


def submit(server: Server, kind: str, **body: object) -> str:
    # Use a new connection: the server closes those that are idle for ten seconds.
    job, headers = {"kind": kind, "input": body}, server.client.headers
    response = httpx.post(f"{server.address}{URL}", json=job, headers=headers, timeout=30)
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def state(server: Server, location: str) -> str:
    return str(server.client.get(location).json()["state"])


def wait(server: Server, location: str, limit: float = 90) -> dict[str, Any]:
    deadline = time.monotonic() + limit
    while (job := server.client.get(location).json())["state"] not in ENDED:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    found: dict[str, Any] = job
    return found


def wait_until_started(server: Server, *locations: str) -> None:
    deadline = time.monotonic() + 60
    for location in locations:
        while state(server, location) != "STARTED":
            assert time.monotonic() < deadline, location
            time.sleep(0.05)


def wait_for_all(server: Server, locations: list[str], limit: float) -> Counter[str]:
    """Count the states of jobs when all have ended or ``limit`` seconds have passed."""
    deadline = time.monotonic() + limit
    while True:
        states = Counter(state(server, location) for location in locations)
        if set(states) <= ENDED or time.monotonic() > deadline:
            return states
        time.sleep(2)


@pytest.mark.parametrize(
    ("broker", "losses"),
    [("rabbitmq", 0), ("redis", 5)],  # Redis may lose a job while a worker fetches it
    indirect=["broker"],
)
def test_1000_jobs_survive_five_killed_workers(
    service: Path, broker: Broker, redis: Redis, losses: int
) -> None:
    with working(service, JOB_TIME_LIMIT="5", **variables(broker, redis)) as running:
        server = running.server
        jobs = [submit(server, "nap", seconds=0.1) for _ in range(1000)]
        for _ in range(5):
            worker = running.start()
            time.sleep(6)
            worker.kill()
        running.start()
        states = wait_for_all(server, jobs, 150 if losses == 0 else 100)
        print(f"after five kills: {dict(states)}")
        assert states["SUCCESS"] >= 1000 - losses


@pytest.mark.parametrize(
    ("broker", "signum"),
    [("redis", signal.SIGTERM), ("redis", signal.SIGKILL), ("rabbitmq", signal.SIGKILL)],
    indirect=["broker"],
)
def test_1000_jobs_survive_a_broker_restart(
    service: Path, broker: Broker, redis: Redis, signum: signal.Signals
) -> None:
    with working(service, JOB_TIME_LIMIT="5", **variables(broker, redis)) as running:
        server = running.server
        jobs = [submit(server, "nap", seconds=0.1) for _ in range(1000)]
        time.sleep(1.5)  # Redis writes its log once a second
        running.start()
        time.sleep(6)
        broker.stop(signum)
        time.sleep(2)
        broker.start()
        time.sleep(1)
        states = wait_for_all(server, jobs, 180)
        assert states == {"SUCCESS": 1000}


def slowest_response(
    server: Server, clients: int, method: str, path: str, status: int, **body: object
) -> float:
    """The longest of 320 requests sent by parallel clients, in seconds."""
    # One client per thread: threads that share one would close each other's connections.
    idle: SimpleQueue[httpx.Client] = SimpleQueue()

    def attempt(_: int) -> float:
        client = idle.get()
        started = time.perf_counter()
        response = client.request(method, path, **body)  # type: ignore[arg-type]
        seconds = time.perf_counter() - started
        idle.put(client)
        assert response.status_code == status
        assert ("Retry-After" in response.headers) is (status == 503)
        return seconds

    limits = httpx.Limits(max_keepalive_connections=0)
    with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            client = httpx.Client(base_url=server.address, timeout=30, limits=limits)
            idle.put(stack.enter_context(client))
        return max(pool.map(attempt, range(320)))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGSTOP])
@pytest.mark.parametrize(
    ("broker", "clients"), [("redis", 64), ("rabbitmq", 32)], indirect=["broker"]
)
def test_requests_fail_with_503_within_2_seconds_without_a_broker(
    broker: Broker, clients: int, service: Path, redis: Redis, signum: signal.Signals
) -> None:
    with working(service, **variables(broker, redis)) as running:
        server = running.server
        running.start()
        wait(server, submit(server, "checksum", text="a"))
        broker.send(signum)
        time.sleep(0.5)

        busy = slowest_response(server, clients, "GET", "/health", 200)
        slowest = slowest_response(server, clients, "POST", URL, 503, json=CHECKSUM)
        print(f"without the broker ({signum.name}): {slowest:.2f} s; /health: {busy:.2f} s")
        assert slowest < 2 + busy
        assert httpx.get(f"{server.address}/ready").json()["checks"]["jobs"] is False
        if signum is signal.SIGSTOP:
            broker.send(signal.SIGCONT)
        else:
            broker.stop()
            broker.start()
        time.sleep(1.1)
        assert wait(server, submit(server, "checksum", text="a"))["state"] == "SUCCESS"
        for _ in range(50):  # a hanging check has to time out first
            if ready := httpx.get(f"{server.address}/ready").json()["ready"]:
                break
            time.sleep(0.1)
        assert ready is True


@pytest.fixture(params=["redis", "rabbitmq", "files"])
def running(request: pytest.FixtureRequest, service: Path, tmp_path: Path) -> Iterator[Running]:
    """The service with a worker, on each kind of broker."""
    environment = {"JOB_TIME_LIMIT": "20", "JOB_MAX_DELIVERIES": "3"}
    if request.param == "files":
        environment["JOB_DIR"] = str(tmp_path / "jobs")
    else:
        found = [request.getfixturevalue(name) for name in (request.param, "redis")]
        environment |= variables(*found)
    with working(service, **environment) as running:
        running.start()
        yield running


def test_running_job_has_progress_and_can_be_cancelled(running: Running) -> None:
    server = running.server
    location, seen = submit(server, "nap", seconds=10), set()
    while (job := server.client.get(location).json())["progress"] < 0.5:
        seen.add(job["progress"])
        time.sleep(0.02)
    assert len(seen) > 2
    assert server.client.delete(location).json()["state"] == "REVOKED"
    waiting = [submit(server, "nap", seconds=0.1) for _ in range(8)]
    started = time.monotonic()
    assert wait_for_all(server, waiting, 60) == {"SUCCESS": 8}
    assert time.monotonic() - started < 30
    assert state(server, location) == "REVOKED"
    assert "'nap'" not in running.celery("inspect", "active")  # its process was killed


def test_job_that_exceeds_its_time_limit_or_kills_its_process_fails(running: Running) -> None:
    server = running.server
    slow, deadly = submit(server, "nap", seconds=300), submit(server, "poison", seconds=0)
    assert wait(server, deadly)["error"]["kind"] == "worker_lost"
    assert wait(server, slow)["error"]["kind"] == "time_limit"
    assert wait(server, submit(server, "checksum", text="a"))["state"] == "SUCCESS"


def test_stopped_worker_returns_its_jobs_to_the_queue(running: Running) -> None:
    server = running.server
    jobs = [submit(server, "nap", seconds=12) for _ in range(4)]
    wait_until_started(server, *jobs)
    stopped = time.monotonic()
    running.workers[0].process.terminate()
    running.start()
    running.workers[0].process.wait(60)
    print(f"the worker stopped after {time.monotonic() - stopped:.1f} s")
    assert wait_for_all(server, jobs, 90) == {"SUCCESS": 4}
    print(f"its jobs had ended after {time.monotonic() - stopped:.1f} s")
    log = running.workers[0].log.read_text()
    assert log.count("job succeeded") == 4


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)
def test_services_can_share_a_broker(service: Path, broker: Broker, redis: Redis) -> None:
    shared = variables(broker, redis)
    with (
        working(service, KEY_PREFIX="one", **shared) as one,
        working(service, KEY_PREFIX="two", **shared) as two,
    ):
        two.start()
        other = submit(one.server, "checksum", text="a")
        jobs = [submit(two.server, "checksum", text="a") for _ in range(20)]
        assert wait_for_all(two.server, jobs, 60) == {"SUCCESS": 20}
        assert state(one.server, other) == "PENDING"
        assert two.server.client.get(other).status_code == 404
        one.start()
        assert wait(one.server, other)["state"] == "SUCCESS"
        # Control messages, such as those that cancel a job, reach only the service's own workers.
        for running in (one, two):
            assert running.celery("inspect", "ping").count("OK") == 1
