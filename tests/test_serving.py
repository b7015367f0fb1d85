"""Models behind the production server: black boxes over HTTP."""

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.combinations import render, run
from tests.test_live import SCRIPTS, Server, serve

URL = "/api/v1/sklearn/predict"
SETOSA = {"features": [5.1, 3.5, 1.4, 0.2]}
PROD = {"APP_ENV": "prod", "SECRET_KEY": "s" * 32}

#: Answers a request, and prints what is loaded then of the libraries that train.
SERVE = """
import sys
from app import create_app
app = create_app({"APP_ENV": "prod", "SECRET_KEY": "s" * 32})
answer = app.test_client().post(URL, json=SETOSA)
training = {"onnx", "scipy", "skl2onnx", "sklearn", "skops"}
print(answer.status_code, sorted(training & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with a model that its command has trained."""
    folder = tmp_path_factory.mktemp("serving") / "service"
    service = render(template, folder, components=["sklearn", "probes"])
    output = train(service)
    assert "Trained 20" in output
    return service


def train(service: Path) -> str:
    command = [str(SCRIPTS / "flask"), "--app", "wsgi", "train-sklearn"]
    result = subprocess.run(
        command, cwd=service, env=os.environ | PROD, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_serving_process_imports_no_scikit_learn(service: Path) -> None:
    code = f"URL, SETOSA = {URL!r}, {SETOSA!r}\n{SERVE}"
    assert run(service, "-c", code).splitlines()[-1] == "200 []"


def test_dev_answers_at_once(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["sklearn"])
    with serve(service) as server:
        assert server.client.post(URL, json=SETOSA).json()["label"] == "setosa"
    assert server.log.read_text().count("model loaded") == 2  # one trained, both serve it
    assert len(list((service / "instance" / "models" / "sklearn").glob("*/manifest.json"))) == 1


def test_prod_without_a_model_waits_for_one(service: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "models")
    with serve(service, **PROD, SKLEARN_MODEL_DIR=folder) as server:
        assert server.client.get("/health").status_code == 200
        for response in (server.client.get("/ready"), server.client.post(URL, json=SETOSA)):
            assert response.status_code == 503
            assert response.headers["Retry-After"]
            assert folder not in response.text
        (service / "instance" / "models" / "sklearn").rename(folder)
        assert server.client.get("/ready").status_code == 200
        assert server.client.post(URL, json=SETOSA).status_code == 200
    (tmp_path / "models").rename(service / "instance" / "models" / "sklearn")


def test_prod_refuses_a_model_that_was_changed_until_it_is_trained_again(service: Path) -> None:
    (model,) = service.glob("instance/models/sklearn/*/model.onnx")
    content = model.read_bytes()
    model.write_bytes(content + b"\0")
    result = subprocess.run(
        [str(SCRIPTS / "gunicorn"), "wsgi:app"],
        cwd=service,
        env=os.environ | PROD | {"PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode != 0
    assert "model.onnx was changed since it was written: train one" in result.stderr
    train(service)
    with serve(service, **PROD) as server:
        assert server.client.post(URL, json=SETOSA).status_code == 200


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_sigterm_under_load_loses_nothing_that_was_accepted(service: Path, engine: str) -> None:
    (service / "log.txt").unlink(missing_ok=True)
    begun = Event()
    with serve(service, **PROD, SKLEARN_ENGINE=engine) as server, ThreadPoolExecutor(16) as pool:
        callers = [pool.submit(call_until_it_ends, server, begun) for _ in range(16)]
        assert begun.wait(30)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(30) == 0
        received = sum(caller.result(30) for caller in callers)
    log = server.log.read_text()
    assert "Traceback" not in log
    events = [json.loads(line) for line in log.splitlines()]
    accepted = [event for event in events if event.get("path") == URL]
    assert {event["status"] for event in accepted} == {200}
    assert len(accepted) == received


def call_until_it_ends(server: Server, begun: Event) -> int:
    """How many answers came. A connection that nobody took any more is no answer."""
    count = 0
    with httpx.Client(base_url=server.address, timeout=30) as client:
        while True:
            try:
                response = client.post(URL, json=SETOSA)
            except httpx.TransportError:
                return count
            assert response.json()["label"] == "setosa"
            count += 1
            if count == 50:
                begun.set()
