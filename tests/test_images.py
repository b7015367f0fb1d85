"""The image of a service and its compose file, as its README says to use them."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest
import socketio
import yaml

from tests.combinations import components, questions, render
from tests.test_live import ANN, SCRIPTS

pytestmark = pytest.mark.images

WEB, WEBSOCKET = "http://127.0.0.1:8000", "http://127.0.0.1:8001"
SERVICES = {
    "default": ["crud", "pagination", "probes"],
    "queue": ["celery", "probes"],
    "jobs": ["jwt", "crud", "uploads", "celery", "socketio", "pagination", "probes"],
    "models": ["sklearn", "torch", "probes"],
    "everything": components(),
}
#: How a cluster runs containers: without an init, and nothing can be written but what is mounted.
HARDENED = {
    "init": False,
    "read_only": True,
    "tmpfs": ["/tmp"],
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
#: What a developer has beside the code, and nobody else should get.
PRIVATE = {
    ".env": "SECRET_KEY=very-private-0123456789-0123456789",
    ".git/config": "very-private",
    ".venv/private.py": "very-private",
    "instance/private.db": "very-private",
    "instance/models/private": "very-private",
}
#: Prints what the last stage should not have: tools that build, packages that install, tests.
FIND = """
for tool in pip uv gcc cc make git; do command -v $tool; done
find /usr /venv -type d -name pip
find /service -name 'test*' -o -name '.[!.]*' -o -name '*private*'
grep -rl very-private /service
touch /service/new
true
"""


@dataclass
class Stack:
    """A service in containers, with its servers."""

    service: Path
    hardened: Path
    name: str
    """Of the image, and of everything that compose makes."""
    chosen: list[str]

    def compose(self, *words: str) -> str:
        files = ["--file", "compose.yaml", "--file", str(self.hardened)]
        return docker("compose", "--progress=plain", *files, *words, cwd=self.service)

    def states(self) -> dict[str, dict[str, Any]]:
        """What ``docker compose ps`` says of each service."""
        lines = self.compose("ps", "--all", "--format=json").splitlines()
        return {state["Service"]: state for state in map(json.loads, lines)}

    def wait(self) -> None:
        """Until all containers are well, and those that run once have ended well."""
        deadline = time.monotonic() + 180
        while not all(map(well, self.states().values())):
            failed = [name for name, state in self.states().items() if state["ExitCode"]]
            if failed or time.monotonic() > deadline:
                pytest.fail(f"Not well: {failed}\n{self.compose('logs', '--no-color')}")
            time.sleep(1)


def well(state: dict[str, Any]) -> bool:
    return state["Health"] in {"", "healthy"} and state["ExitCode"] == 0


def docker(*words: str, cwd: Path | None = None, fails: bool = False) -> str:
    """What ``docker`` prints, errors too; it must end well, or must fail."""
    result = subprocess.run(
        ["docker", *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert bool(result.returncode) is fails, f"docker {' '.join(words)}\n{result.stdout[-20000:]}"
    return result.stdout


def image_python() -> str:
    """The tests' own version of Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert version in questions()["python_version"]["choices"]
    return version


@pytest.fixture(scope="module", params=SERVICES)
def stack(
    template: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """What ``docker compose up --build`` starts, but with file systems that are read-only."""
    folder = tmp_path_factory.mktemp("images")
    answers = {"project_name": f"Image of {request.param}", "python_version": image_python()}
    service = render(template, folder / "service", components=SERVICES[request.param], **answers)
    if "torch" in SERVICES[request.param]:
        train = [str(SCRIPTS / "flask"), "--app", "wsgi", "train-torch"]
        subprocess.run(train, cwd=service, check=True)
    for name, text in PRIVATE.items():
        (service / name).parent.mkdir(parents=True, exist_ok=True)
        (service / name).write_text(text)
    (service / "wsgi.py").chmod(0o600)
    compose = yaml.safe_load((service / "compose.yaml").read_text())
    image = compose["services"]["web"]["image"]
    own = {name: HARDENED for name, it in compose["services"].items() if it["image"] == image}
    (folder / "hardened.json").write_text(json.dumps({"services": own}))
    stack = Stack(service, folder / "hardened.json", compose["name"], SERVICES[request.param])
    try:
        stack.compose("up", "--build", "--detach")
        stack.wait()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout=0")
        docker("image", "rm", "--force", stack.name)
    label = f"--filter=label=com.docker.compose.project={stack.name}"
    left = [docker(kind, "ls", "--quiet", label) for kind in ("container", "network", "volume")]
    assert left == ["", "", ""]


def test_the_image_has_what_runs_and_nothing_else(stack: Stack) -> None:
    (image,) = json.loads(docker("image", "inspect", stack.name))
    print(f"{stack.name}: {image['Size'] / 1e6:.0f} MB")
    assert image["Config"]["User"] == "10001"
    assert not [name for name in image["Config"]["Env"] if re.match(r"\w*(SECRET|URL)", name)]
    found = docker("run", "--rm", stack.name, "sh", "-c", FIND).splitlines()
    assert found == ["touch: cannot touch '/service/new': Permission denied"]


def test_all_processes_are_of_one_image(stack: Stack) -> None:
    ids = docker("compose", "images", "--format=json", cwd=stack.service)
    own = {i["ID"] for i in json.loads(ids) if i["Repository"] == stack.name}
    assert len(own) == 1


def test_the_image_refuses_to_start_without_secrets(stack: Stack) -> None:
    command = ["run", "--rm", stack.name, "flask", "--app", "wsgi", "routes"]
    assert "SECRET_KEY: Field required" in docker(*command, fails=True)


def test_a_change_of_the_code_installs_nothing_anew(stack: Stack) -> None:
    with (stack.service / "wsgi.py").open("a") as code:
        code.write(f"# {uuid4()}\n")
    words = ["--progress=plain", "--output=type=cacheonly", "."]
    output = docker("build", *words, cwd=stack.service)
    steps = dict(re.findall(r"^#(\d+) \[.*\] (.*)", output, re.MULTILINE))
    cached = [steps.get(step, "") for step in re.findall(r"^#(\d+) CACHED$", output, re.MULTILINE)]
    assert any("uv pip install" in step for step in cached), output
    assert not any(step.startswith("COPY . .") for step in cached), output


def test_the_service_does_its_work(stack: Stack) -> None:
    chosen = stack.chosen
    with httpx.Client(base_url=WEB, timeout=30) as client:
        checks = client.get("/ready").json()["checks"]
        without_weights = {"deepface"} & set(chosen)
        assert {name for name, passed in checks.items() if not passed} == without_weights
        if "jwt" in chosen:
            make_admin(stack)
            client.headers["Authorization"] = f"Bearer {login()}"
        if "crud" in chosen:
            user = {"email": "bob@example.com", "name": "Bob"}
            assert client.post("/api/v1/users", json=user).status_code == 201
        if "pagination" in chosen:
            assert client.post("/api/v1/posts", json={"title": "Hello"}).status_code == 201
        if "uploads" in chosen:
            check_uploads(client)
        if "sklearn" in chosen:
            flower = {"features": [5.1, 3.5, 1.4, 0.2]}
            assert client.post("/api/v1/sklearn/predict", json=flower).json()["label"] == "setosa"
        if "torch" in chosen:
            response = client.post("/api/v1/torch/predict", json={"inputs": [[0] * 10]})
            assert response.status_code == 200
        if "celery" in chosen:
            check_jobs(stack, client)

    tracebacks = [line for line in stack.compose("logs").splitlines() if "Traceback" in line]
    assert [line for line in tracebacks if '"check": "deepface"' not in line] == []


def make_admin(stack: Stack) -> None:
    """By the command, in a container that is running."""
    words = ["create-account", "--admin", ANN["email"], "--password", ANN["password"]]
    stack.compose("exec", "--no-TTY", "web", "flask", "--app", "wsgi", *words)


def check_uploads(client: httpx.Client) -> None:
    """A file is the same in all containers."""
    file = {"file": ("numbers.csv", b"a,b\n1,2\n")}
    created = client.post("/api/v1/uploads", files=file)
    assert created.status_code == 201
    path = f"{created.headers['Location']}/content"
    assert httpx.get(f"{WEBSOCKET}{path}", headers=client.headers).content == b"a,b\n1,2\n"


def check_jobs(stack: Stack, client: httpx.Client) -> None:
    """A worker does a job; with Socket.IO, its owner hears of it in another container."""
    states = []
    with connect(stack) as sockets:
        job = {"kind": "checksum", "input": {"text": "hello"}}
        location = client.post("/api/v1/jobs", json=job).headers["Location"]
        deadline = time.monotonic() + 60
        while "SUCCESS" not in states and time.monotonic() < deadline:
            if "socketio" in stack.chosen:
                _, told = sockets.receive(timeout=30)
                states.append(told["state"])
            else:
                time.sleep(0.1)
                states.append(client.get(location).json()["state"])
    result = client.get(location).json()["result"]["sha256"]
    assert result == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_containers_end_in_time_and_finish_what_they_began(stack: Stack) -> None:
    """Last, as it ends them. Those that do not end within 10 s are killed, and exit with 137."""
    with closing(start_request(stack)) as slow, connect(stack):
        stop = Thread(target=stack.compose, args=["stop"])
        stop.start()
        time.sleep(1)
        slow.sendall(b"}")
        assert slow.recv(65536).startswith(b"HTTP/1.1 422")
        stop.join()
    codes = {name: state["ExitCode"] for name, state in stack.states().items()}
    assert set(codes.values()) == {0}, codes


def start_request(stack: Stack) -> socket.socket:
    """A request whose body has not arrived in full."""
    paths = {
        "jwt": "auth/register",
        "crud": "users",
        "sklearn": "sklearn/predict",
        "celery": "jobs",
    }
    (path, *_) = [path for name, path in paths.items() if name in stack.chosen]
    connection = socket.create_connection(("127.0.0.1", 8000))
    connection.sendall(
        f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{".encode()
    )
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(30)
    return connection


@contextmanager
def connect(stack: Stack) -> Iterator[socketio.SimpleClient]:
    """A connection to the process type that has them, where there is one."""
    with socketio.SimpleClient(reconnection=False) as sockets:
        if "socketio" in stack.chosen:
            sockets.connect(WEBSOCKET, transports=["websocket"], auth={"token": login()})
        yield sockets


def login() -> str:
    """An access token."""
    httpx.post(f"{WEB}/api/v1/auth/register", json=ANN)
    token: str = httpx.post(f"{WEB}/api/v1/auth/login", json=ANN).json()["access_token"]
    return token
