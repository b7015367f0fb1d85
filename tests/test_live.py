"""The service with all components, run as in its Procfile and tested over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from threading import Event
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.combinations import components, render

SCRIPTS = Path(sys.executable).parent
ANN = {"email": "ann@example.com", "password": "correct horse"}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
#: Routes that respond with 503 without model weights and a provider.
UNAVAILABLE = "/(bedrock|faces|openai)/"
NO_PROVIDER = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "BEDROCK_ENDPOINT_URL": "http://127.0.0.1:9",
    "LLM_MAX_ATTEMPTS": "1",
    "OPENAI_API_KEY": "nothing",
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
}


@dataclass
class Server:
    """A running service."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: Path
    client: httpx.Client
    token: str = ""

    def login(self) -> None:
        self.client.post("/api/v1/auth/register", json=ANN)
        pair = self.client.post("/api/v1/auth/login", json=ANN).json()
        self.token = pair["access_token"]
        self.client.headers["Authorization"] = f"Bearer {self.token}"


@contextmanager
def serve(service: Path, command: str = "", /, **environment: str) -> Iterator[Server]:
    """Run the Procfile's web process, or another command, with two workers until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    procfile = (service / "Procfile").read_text()
    command = command or procfile.partition("web: ")[2].splitlines()[0]
    here = {"HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "2"}
    words = Template(command).safe_substitute(here).split()
    log = service / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(SCRIPTS / words[0]), *words[1:]],
            cwd=service,
            env=os.environ | here | environment,
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, timeout=30) as client:
            server = Server(process, address, log, client)
            wait_until_answered(server)
            yield server
    finally:
        process.terminate()
        process.wait(40)


def wait_until_answered(server: Server) -> None:
    for _ in range(1200):
        try:
            httpx.get(server.address)
        except httpx.TransportError:
            assert server.process.poll() is None, server.log.read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError(server.log.read_text())


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(template, tmp_path_factory.mktemp("live") / "service", components=components())


@pytest.fixture(scope="module")
def server(service: Path) -> Iterator[Server]:
    with serve(service, REGISTER_RATE_LIMIT="100000 per minute", **NO_PROVIDER) as server:
        command = ["flask", "--app", "wsgi", "create-account", "--admin", ANN["email"]]
        command += ["--password", ANN["password"]]
        subprocess.run([str(SCRIPTS / command[0]), *command[1:]], cwd=service, check=True)
        server.login()
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> httpx.Client:
    return server.client


def test_metrics_are_shared_between_processes(server: Server) -> None:
    for _ in range(40):
        httpx.get(server.address)  # one connection each, so that both workers answer
    counts = {count_requests(server) for _ in range(20)}
    assert len(counts) == 1
    assert counts.pop() >= 40


def count_requests(server: Server) -> float:
    series = 'http_requests_total{method="GET",route="/",status="200"} '
    text = httpx.get(f"{server.address}/metrics").text
    return float(text.partition(series)[2].splitlines()[0])


def test_openapi_document_is_valid(client: httpx.Client) -> None:
    validate(client.get("/openapi.json").json())


def test_errors_are_documented_as_problem_documents(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status == "default" or int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], path


def test_one_of_50_concurrent_creates_succeeds(server: Server) -> None:
    user = {"email": "race@example.com", "name": "Race"}
    url = f"{server.address}/api/v1/users"

    def create(_: int) -> int:
        return httpx.post(url, json=user, headers=server.client.headers, timeout=60).status_code

    with ThreadPoolExecutor(50) as pool:
        assert Counter(pool.map(create, range(50))) == {201: 1, 409: 49}


def test_too_large_body_is_rejected_with_413(client: httpx.Client) -> None:
    large = b"x" * (17 * 1024 * 1024)
    for _ in range(3):
        response = client.post("/api/v1/uploads", files={"file": ("a.png", large)})
        assert response.status_code == 413
        assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("with_token", [True, False])
def test_schemathesis_finds_no_errors(server: Server, tmp_path: Path, with_token: bool) -> None:
    paths = f"--exclude-path-regex={UNAVAILABLE}|^/ready"
    run_schemathesis(server, tmp_path, with_token, CHECKS, paths)


def test_schemathesis_finds_no_errors_without_a_provider(server: Server, tmp_path: Path) -> None:
    """503 is documented, and invalid requests are rejected before a provider is called."""
    checks = [name for name in CHECKS if name != "not_a_server_error"]
    run_schemathesis(server, tmp_path, True, checks, f"--include-path-regex={UNAVAILABLE}")


def run_schemathesis(
    server: Server, folder: Path, with_token: bool, checks: Sequence[str], paths: str
) -> None:
    header = ["--header", f"Authorization: Bearer {server.token}"] if with_token else []
    arguments = [
        str(SCRIPTS / "schemathesis"),
        "run",
        f"{server.address}/openapi.json",
        f"--checks={','.join(checks)}",
        f"--max-examples={30 if with_token else 10}",  # most are rejected without a token
        "--exclude-operation-id=auth_logout",  # it would revoke the token
        paths,
        *header,
    ]
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-8000:]
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def production(service: Path, tmp_path: Path) -> dict[str, str]:
    """The variables that ``prod`` requires, and a migrated database."""
    environment = {
        "APP_ENV": "prod",
        "SECRET_KEY": "s" * 32,
        "JWT_SECRET_KEY": "j" * 32,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'prod.db'}",
        "CELERY_BROKER_URL": "filesystem://localhost",
        "OPENAI_API_KEY": "k",
        "S3_BUCKET_NAME": "files",
    }
    upgrade = [str(SCRIPTS / "flask"), "--app", "wsgi", "db", "upgrade"]
    subprocess.run(upgrade, cwd=service, env=os.environ | environment, check=True)
    return environment


def test_prod_logs_json_and_completes_requests_on_sigterm(
    service: Path, production: dict[str, str]
) -> None:
    (service / "log.txt").unlink(missing_ok=True)
    with serve(service, **production) as server, start_request(server) as slow:
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.5)
        slow.sendall(b'"x"}')
        answer = slow.recv(65536).decode()
        assert server.process.wait(30) == 0
    assert answer.startswith("HTTP/1.1 422")
    lines = server.log.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert any(event.get("request_id") == "slow-one" for event in events)


@pytest.mark.parametrize("attempt", [1, 2])  # twice, because failures are intermittent
def test_sigterm_stops_workers_that_hash_passwords(
    service: Path, production: dict[str, str], attempt: int
) -> None:
    """Threads of the password hash may receive the signal instead of Python's main thread."""
    ending = Event()
    with serve(service, **production) as server, ThreadPoolExecutor(12) as pool:
        server.login()
        callers = [pool.submit(login_until_refused, server.address, ending) for _ in range(12)]
        time.sleep(3)
        ending.set()
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(25) == 0  # before the server kills its workers
        assert sum(caller.result(30) for caller in callers)


def login_until_refused(address: str, ending: Event) -> int:
    """Log in until the server stops; returns the number of logins. Requests sent before SIGTERM
    must be answered; later ones may be refused or reset.
    """
    count = 0
    with httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        while True:
            early = not ending.is_set()
            try:
                response = client.post(f"{address}/api/v1/auth/login", json=ANN)
            except httpx.ConnectError:
                return count
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                assert not early
                return count
            assert response.status_code == 200
            count += 1


def start_request(server: Server) -> socket.socket:
    """Send a registration with an incomplete body."""
    host, _, port = server.address.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        b"POST /api/v1/auth/register HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: slow-one\r\n"
        b"Content-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        b'{"email": '
    )
    time.sleep(0.5)
    return connection


def test_prod_lists_missing_settings(service: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {"SECRET_KEY", "DATABASE_URL"}}
    for command in (["python", "serve.py"], ["flask", "--app", "wsgi", "routes"]):
        result = subprocess.run(
            [str(SCRIPTS / command[0]), *command[1:]],
            cwd=service,
            env=environment | {"APP_ENV": "prod", "PORT": "0"},
            capture_output=True,
            text=True,
        )
        assert result.returncode != 0
        for name in ("SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URL"):
            assert f"{name}: Field required" in result.stderr
        assert "CELERY_BROKER_URL: set it or REDIS_URL" in result.stderr
        assert "Respawning" not in result.stderr  # workers are not restarted


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("PORT", "Error: PORT is 'many'; set it to "),
        ("WEB_CONCURRENCY", "Error: WEB_CONCURRENCY is 'many'; set it to "),
        ("WEB_THREADS", "Error: WEB_THREADS is 'many'; set it to "),
        ("LOG_LEVEL", "Error: APP_ENV=dev cannot start: LOG_LEVEL: Input should be 'DEBUG', "),
    ],
)
def test_server_names_the_invalid_variable(service: Path, name: str, error: str) -> None:
    command = [str(SCRIPTS / "python"), "serve.py"]
    environment = os.environ | {name: "many"}
    result = subprocess.run(command, cwd=service, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(error)
    assert result.stderr.count("\n") == 1


def test_invalid_commands_fail_with_one_line(service: Path) -> None:
    commands: list[Any] = [["create-user", "x", "y"], ["create-account", "x", "--password", "y"]]
    for arguments in commands:
        command = [str(SCRIPTS / "flask"), "--app", "wsgi", *arguments]
        result = subprocess.run(command, cwd=service, capture_output=True, text=True)
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in result.stderr
        assert subprocess.run([*command[:4], "--help"], cwd=service).returncode == 0
