"""Live messages: the websocket process, its limits, and its chat page in a browser."""

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import socketio
from playwright.sync_api import Page, sync_playwright
from websocket import WebSocketException, create_connection

from tests.combinations import render
from tests.servers import Redis, nginx
from tests.test_jobs import Worker
from tests.test_live import ANN, SCRIPTS, Server, serve, wait_until_answered

CHROMIUM = Path("/usr/bin/chromium")
LOBBY = {"room": "lobby"}
JWT = ["jwt", "socketio", "probes"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def guests(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service without accounts."""
    return render(template, tmp_path_factory.mktemp("messages") / "guests", components=["socketio"])


@pytest.fixture(scope="module")
def accounts(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with accounts."""
    service = render(template, tmp_path_factory.mktemp("messages") / "accounts", components=JWT)
    migrate = [str(SCRIPTS / "flask"), "--app", "wsgi", "db", "upgrade"]
    subprocess.run(migrate, cwd=service, check=True)
    return service


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def serve_sockets(service: Path, **environment: str) -> AbstractContextManager[Server]:
    """The websocket process of the Procfile."""
    line = (service / "Procfile").read_text().partition("websocket: ")[2].splitlines()[0]
    return serve(service, line, **environment)


@contextmanager
def client(server: Server, token: str = "") -> Iterator[Any]:
    """A Socket.IO client; its ``events`` attribute lists the events it has received."""
    sio = socketio.Client(reconnection=False)
    sio.events = []
    for name in ("message", "error", "disconnect", "job"):
        sio.on(name, lambda *given, name=name: sio.events.append((name, *given)))
    auth = {"token": token} if token else None
    sio.connect(server.address, auth=auth, transports=["websocket"])
    try:
        yield sio
    finally:
        sio.disconnect()


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"condition not met after {seconds} seconds"
        time.sleep(0.02)


def connect_raw(server: Server, token: str = "") -> Any:
    """Connect with a plain WebSocket, which is cheap enough for hundreds of connections."""
    host = server.address.removeprefix("http://")
    connection: Any = create_connection(
        f"ws://{host}/socket.io/?EIO=4&transport=websocket", timeout=30, enable_multithread=False
    )
    assert connection.recv().startswith("0{")
    connection.send("40" + (json.dumps({"token": token}) if token else ""))
    assert connection.recv().startswith("40{")
    return connection


def worker(server: Server) -> int:
    """The process ID of gunicorn's worker."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    (pid,) = children.split()
    return int(pid)


def memory(pid: int) -> float:
    """Resident memory in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1000


def test_500_idle_connections_fit_in_175_mb(accounts: Path) -> None:
    with serve_sockets(accounts) as server, ExitStack() as stack:
        server.login()
        for _ in range(500):
            stack.callback(connect_raw(server, server.token).shutdown)
        assert server.client.get("/health").status_code == 200
        refused = httpx.get(
            f"{server.address}/socket.io/?EIO=4&transport=websocket",
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                "Sec-WebSocket-Version": "13",
            },
        )
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        used = memory(worker(server))
    print(f"500 idle connections: {used:.0f} MB")
    assert used <= 175


def test_broadcast_across_two_processes_reaches_all_200_clients(guests: Path, redis: Redis) -> None:
    environment = {"REDIS_URL": redis.url}
    with (
        serve_sockets(guests, **environment) as one,
        serve_sockets(guests, **environment) as other,
        ExitStack() as stack,
    ):
        sockets = [connect_raw(server) for server in (one, other) for _ in range(100)]
        for connection in sockets:
            stack.callback(connection.shutdown)
            connection.send(f'420["join",{json.dumps(LOBBY)}]')
            assert connection.recv() == f"430[{json.dumps(LOBBY, separators=(',', ':'))}]"
        with client(one) as speaker:
            speaker.call("join", LOBBY)
            said = speaker.call("chat", LOBBY | {"text": "Hello, all!"})
        received = [json.loads(connection.recv().removeprefix("42")) for connection in sockets]
    assert received == [["message", said]] * 200


def test_10000_malformed_events_are_answered_with_errors(guests: Path) -> None:
    chance = random.Random(5)
    texts = ["", "x", "{", "[", "null", "[]", "{}", "[1]", '["join"]', '["join",1]', '["nope",{}]']
    texts += ['["chat",{"room":1}]', '["leave",{"room":"\\u0000"}]', '["join",{},{}]', "[" * 9000]
    alphabet = [chr(code) for code in (*range(32, 127), 0, 0xE9, 0x2028, 0x1F600)]

    def malformed() -> str:
        noise = "".join(chance.choices(alphabet, k=chance.randrange(40)))
        return "42" + chance.choice([*texts, noise.lstrip("0123456789/")])

    with serve_sockets(guests, SOCKETIO_EVENT_RATE="100000") as server:
        pid = worker(server)
        sockets = [connect_raw(server) for _ in range(20)]
        for connection in sockets:
            for _ in range(50):
                packets = [malformed() for _ in range(10)]
                for packet in packets:
                    connection.send(packet)
                for packet in packets:
                    name, problem = json.loads(connection.recv().removeprefix("42"))
                    assert name == "error", packet
                    assert 400 <= problem["status"] < 500, packet
        with client(server) as alive:
            assert alive.call("join", LOBBY) == LOBBY
        assert worker(server) == pid
        for connection in sockets:
            connection.shutdown()
    assert "Traceback" not in server.log.read_text()


def test_client_that_ignores_429_is_disconnected(guests: Path) -> None:
    with (
        serve_sockets(guests, SOCKETIO_EVENT_RATE="1") as server,
        client(server) as patient,
        client(server) as ann,
    ):
        assert ann.call("leave", LOBBY) == LOBBY  # connecting used up the other one
        assert ann.call("leave", LOBBY)["status"] == 429
        while ann.connected:
            ann.emit("leave", LOBBY)
            time.sleep(0.01)
        assert {given[0]["status"] for name, *given in ann.events if name == "error"} == {429}
        assert patient.call("leave", LOBBY) == LOBBY


def count_connections(server: Server) -> float:
    text = httpx.get(f"{server.address}/metrics").text
    return float(text.partition("\nsocketio_connections ")[2].splitlines()[0])


def test_flooding_clients_are_disconnected(guests: Path) -> None:
    """Neither large messages nor many small ones use up memory, and other clients are served."""
    floods = ["4" * 100_000_000, "3", '42["chat",{"room":"lobby","text":"x"}]', "4", "40"]
    with serve_sockets(guests) as server, client(server) as ann:
        before, logged = memory(worker(server)), server.log.stat().st_size
        for packet in floods:
            with closing(connect_raw(server)) as flooding, suppress(OSError, WebSocketException):
                flooding.settimeout(5)
                for _ in range(1_000_000):
                    flooding.send(packet)
            wait_until(lambda: count_connections(server) == 1)
        assert ann.call("join", LOBBY) == LOBBY
        assert memory(worker(server)) - before < 20
        assert server.log.stat().st_size - logged < 200_000
    assert "Traceback" not in server.log.read_text()


def test_connection_requires_a_token_and_ends_when_it_is_invalid(accounts: Path) -> None:
    environment = {"JWT_ACCESS_TOKEN_EXPIRES": "3"}
    with serve(accounts) as web, serve_sockets(accounts, **environment) as server:
        with pytest.raises(socketio.exceptions.ConnectionError), client(server):
            pass
        web.login()
        server.login()  # a token that expires soon
        with client(server, web.token) as revoked, client(server, server.token) as expired:
            assert revoked.call("join", LOBBY) == expired.call("join", LOBBY) == LOBBY
            assert web.client.post("/api/v1/auth/logout").status_code == 204  # in another process
            wait_until(lambda: not revoked.connected, 3)
            assert expired.connected
            wait_until(lambda: not expired.connected, 5)
        for ended, detail in ((revoked, "revoked"), (expired, "expired")):
            (problem,) = [given[0] for name, *given in ended.events if name == "error"]
            assert (problem["status"], detail in problem["detail"]) == (401, True)


def test_reused_refresh_token_ends_the_connection(accounts: Path) -> None:
    with serve_sockets(accounts) as server:
        server.client.post("/api/v1/auth/register", json=ANN)
        pair = server.client.post("/api/v1/auth/login", json=ANN).json()
        headers = {"Authorization": f"Bearer {pair['refresh_token']}"}
        with client(server, pair["access_token"]) as ann:
            statuses = [
                server.client.post("/api/v1/auth/refresh", headers=headers).status_code
                for _ in range(2)
            ]
            assert statuses == [200, 401]
            wait_until(lambda: not ann.connected, 3)


def test_web_process_rejects_websockets(guests: Path) -> None:
    with (
        serve(guests) as web,
        pytest.raises(socketio.exceptions.ConnectionError),
        client(web),
    ):
        pass


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "in use"),
        ("HOST", "unknown.invalid"),
        ("HOST", "192.0.2.1"),
        ("PROMETHEUS_MULTIPROC_DIR", "/nowhere"),
    ],
)
def test_startup_errors_are_reported_in_one_line(guests: Path, variable: str, value: str) -> None:
    line = (guests / "Procfile").read_text().partition("websocket: ")[2].split()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if value == "in use":
            value = str(taken.getsockname()[1])
        result = subprocess.run(
            [str(SCRIPTS / line[0]), *line[1:]],
            cwd=guests,
            env=os.environ | {"HOST": "127.0.0.1", "PORT": "0", variable: value},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_host_can_be_a_name_or_an_ipv6_address(guests: Path) -> None:
    with serve_sockets(guests, HOST="localhost") as server:
        port = httpx.URL(server.address).port
        line = (guests / "Procfile").read_text().partition("websocket: ")[2].split()
        environment = os.environ | {"HOST": "::1", "PORT": str(port)}  # free on that address
        with subprocess.Popen(
            [str(SCRIPTS / line[0]), *line[1:]], cwd=guests, env=environment
        ) as process:
            try:
                wait_until(lambda: is_answered(f"http://[::1]:{port}"), 60)
            finally:
                process.terminate()


def is_answered(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False


def test_sigterm_closes_connections_and_stops_in_time(guests: Path) -> None:
    with serve_sockets(guests) as server:
        sockets = [connect_raw(server) for _ in range(50)]
        with client(server) as ann:
            started = time.monotonic()
            os.kill(server.process.pid, signal.SIGTERM)
            assert server.process.wait(20) == 0
            print(f"SIGTERM with 50 clients: {time.monotonic() - started:.1f} s")
            assert time.monotonic() - started < 10
            wait_until(lambda: not ann.connected)
        for connection in sockets:
            connection.shutdown()
    assert "Traceback" not in server.log.read_text()


def test_redis_hangs_and_recovers(guests: Path, redis: Redis) -> None:
    environment = {"REDIS_URL": redis.url}
    with (
        serve_sockets(guests, **environment) as one,
        serve_sockets(guests, **environment) as other,
        client(one) as ann,
        client(other) as bob,
    ):
        ann.call("join", LOBBY)
        bob.call("join", LOBBY)
        redis.send(signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert ann.call("chat", LOBBY | {"text": "Is anybody here?"})["text"]
            assert time.monotonic() - started < 5
        finally:
            redis.send(signal.SIGCONT)

        def reaches_bob() -> bool:
            ann.call("chat", LOBBY | {"text": "And now?"})
            time.sleep(0.2)
            return any(given[0]["text"] == "And now?" for name, *given in bob.events)

        wait_until(reaches_bob, 60)


@contextmanager
def flask_run(service: Path) -> Iterator[Server]:
    """``flask run`` without environment variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(SCRIPTS / "flask"), "--app", "wsgi", "run", "--port", str(port)]
    log = service / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=service, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            server = Server(process, str(http.base_url).rstrip("/"), log, http)
            wait_until_answered(server)
            yield server
    finally:
        process.terminate()
        process.wait(10)


def test_redis_is_killed_and_restarted(guests: Path, tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    environment = {"REDIS_URL": redis.url}
    with (
        serve_sockets(guests, **environment) as one,
        serve_sockets(guests, **environment) as other,
        client(one) as ann,
        client(other) as bob,
    ):
        ann.call("join", LOBBY)
        bob.call("join", LOBBY)
        redis.stop(signal.SIGKILL)
        assert ann.call("chat", LOBBY | {"text": "Is anybody here?"})["text"]
        redis.start()

        def reaches_bob() -> bool:
            ann.call("chat", LOBBY | {"text": "And now?"})
            time.sleep(0.2)
            return any(given[0]["text"] == "And now?" for name, *given in bob.events)

        wait_until(reaches_bob, 60)
    redis.stop()


def test_flask_run_serves_everything_in_one_process(guests: Path) -> None:
    with flask_run(guests) as server, client(server) as ann, client(server) as bob:
        ann.call("join", LOBBY)
        bob.call("join", LOBBY)
        said = ann.call("chat", LOBBY | {"text": "Hello!"})
        wait_until(lambda: ("message", said) in bob.events)


@contextmanager
def working(service: Path, **environment: str) -> Iterator[None]:
    """Run the Procfile's worker."""
    worker = Worker(service, environment)
    try:
        yield
    finally:
        worker.kill()


def states(client: Any, job_id: str) -> list[str]:
    """The distinct states of a job that the client has received."""
    changes = [given[0] for name, *given in client.events if name == "job"]
    return list(dict.fromkeys(job["state"] for job in changes if job["id"] == job_id))


def test_job_progress_reaches_only_its_owner_in_its_service(
    template: Path, tmp_path: Path, redis: Redis
) -> None:
    environment = {"REDIS_URL": redis.url}
    services = []
    for name in ("Service A", "Service B"):
        answers = {"project_name": name, "components": ["celery", "jwt", "socketio"]}
        services.append(render(template, tmp_path / name.replace(" ", ""), **answers))
        migrate = [str(SCRIPTS / "flask"), "--app", "wsgi", "db", "upgrade"]
        subprocess.run(migrate, cwd=services[-1], check=True)
    service, other_service = services
    with (
        serve(service, **environment) as web,
        serve_sockets(service, **environment) as server,
        working(service, **environment),
        serve_sockets(other_service, **environment) as other,
        working(other_service, **environment),
    ):
        web.login()
        other.login()  # an account with the same id
        with client(server, web.token) as ann, client(other, other.token) as bob:
            for _ in range(20):
                job = {"kind": "checksum", "input": {"text": "a"}}
                job_id = web.client.post("/api/v1/jobs", json=job).json()["id"]
                wait_until(lambda job_id=job_id: states(ann, job_id)[-1:] == ["SUCCESS"], 60)
                assert states(ann, job_id) == ["PENDING", "STARTED", "SUCCESS"]
            assert not bob.events


def test_jobs_are_polled_without_redis(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["celery", "socketio"])
    with flask_run(service) as server, working(service), client(server) as ann:
        job = {"kind": "checksum", "input": {"text": "a"}}
        job_id = server.client.post("/api/v1/jobs", json=job).json()["id"]
        assert ann.call("watch", {"job": job_id})["id"] == job_id
        wait_until(lambda: states(ann, job_id)[-1:] == ["SUCCESS"], 60)


@contextmanager
def two_pages(address: str) -> Iterator[tuple[Page, Page]]:
    """Open the chat page in two browsers; fail on errors and requests to other hosts."""
    assert CHROMIUM.exists(), "This test requires Chromium: apt-get install chromium"
    errors: list[str] = []
    hosts: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        pages = [browser.new_context().new_page() for _ in range(2)]
        for page in pages:
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text))
            page.on("request", lambda request: hosts.add(httpx.URL(request.url).netloc.decode()))
            page.goto(f"{address}/chat")
        yield pages[0], pages[1]
        browser.close()
    assert not errors
    assert hosts == {httpx.URL(address).netloc.decode()}


def talk(ann: Page, bob: Page) -> None:
    """Both join the lobby, and one receives a message from the other."""
    for page in (ann, bob):
        page.get_by_text("Connected", exact=True).wait_for()
        page.get_by_role("button", name="Join").click()
        page.locator("#send:enabled").wait_for()
    ann.locator("#text").fill("<b>Hello!</b>")
    ann.get_by_role("button", name="Send").click()
    bob.get_by_text("<b>Hello!</b>").wait_for()


def test_chat_page_in_a_browser(guests: Path) -> None:
    with serve_sockets(guests) as server, two_pages(server.address) as (ann, bob):
        talk(ann, bob)
        ann.get_by_label("Room").fill("no room!")
        ann.get_by_role("button", name="Join").click()
        ann.get_by_role("alert").get_by_text("room: ").wait_for()


def test_chat_page_works_under_a_path_prefix(accounts: Path, tmp_path: Path) -> None:
    with (
        serve_sockets(accounts, PROXY_HOPS="1") as server,
        nginx(tmp_path, server.address) as address,
        two_pages(address) as pages,
    ):
        register(*pages)
        talk(*pages)


def register(*pages: Page) -> None:
    for page in pages:
        page.get_by_label("E-mail").fill(f"{uuid4().hex}@example.com")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Register").click()


def test_chat_page_stays_connected_when_its_token_expires(accounts: Path) -> None:
    environment = {"JWT_ACCESS_TOKEN_EXPIRES": "3"}
    with serve_sockets(accounts, **environment) as server, two_pages(server.address) as pages:
        register(*pages)
        talk(*pages)
        time.sleep(4)
        pages[1].locator("#text").fill("Still here!")
        pages[1].get_by_role("button", name="Send").click()
        pages[0].get_by_text("Still here!").wait_for()
        pages[0].get_by_role("button", name="Log out").click()
        pages[0].get_by_label("E-mail").wait_for()
