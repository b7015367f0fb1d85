"""Models served by the production server, tested over HTTP."""

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
TORCH_URL = "/api/v1/torch/predict"
PROD = {"APP_ENV": "prod", "SECRET_KEY": "s" * 32}

#: Answers requests, and prints which training libraries were imported for that.
SERVE = """
import sys
from app import create_app
client = create_app({"APP_ENV": "prod", "SECRET_KEY": "s" * 32}).test_client()
answers = [client.post(URL, json=SETOSA), client.post(TORCH_URL, json={"inputs": [[0] * 10]})]
training = {"onnx", "onnxscript", "scipy", "skl2onnx", "sklearn", "skops", "torch"}
print(*(answer.status_code for answer in answers), sorted(training & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with trained models."""
    folder = tmp_path_factory.mktemp("serving") / "service"
    service = render(template, folder, components=["sklearn", "torch", "probes"])
    for library in ("sklearn", "torch"):
        assert "Trained 20" in train(service, library)
    return service


def train(service: Path, library: str) -> str:
    command = [str(SCRIPTS / "flask"), "--app", "wsgi", f"train-{library}"]
    result = subprocess.run(
        command, cwd=service, env=os.environ | PROD, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_serving_imports_no_training_libraries(service: Path) -> None:
    code = f"URL, SETOSA, TORCH_URL = {URL!r}, {SETOSA!r}, {TORCH_URL!r}\n{SERVE}"
    assert run(service, "-c", code).splitlines()[-1] == "200 200 []"


def test_64_concurrent_callers_get_their_own_answers(service: Path) -> None:
    """With the engines that batch requests, and enough threads to do so."""
    engines = {"SKLEARN_ENGINE": "sklearn", "TORCH_ENGINE": "torch", "WEB_THREADS": "32"}
    flowers = [[5 + index / 40, 3, 1 + index / 12, 0.2 + index / 30] for index in range(64)]
    with httpx.Client(timeout=60) as client, serve(service, **PROD, **engines) as server:

        def call(index: int) -> tuple[object, object]:
            flower = {"features": flowers[index]}
            inputs = {"inputs": [[index / 16] * 10] * (1 + index % 3)}
            answers = [
                client.post(f"{server.address}{url}", json=body).json()
                for url, body in ((URL, flower), (TORCH_URL, inputs))
            ]
            rounded = [round(row["confidence"], 5) for row in answers[1]["predictions"]]
            return round(answers[0]["confidence"], 5), rounded

        alone = [call(index) for index in range(64)]
        assert len({str(answer) for answer in alone}) > 32
        with ThreadPoolExecutor(64) as pool:
            for _ in range(5):
                assert list(pool.map(call, range(64))) == alone
        text = client.get(f"{server.address}/metrics").text
    for model in ("sklearn", "torch"):
        shared = text.partition(f'model_batch_rows_count{{model="{model}"}} ')[2].split()[0]
        assert float(shared) > 0, model


def test_dev_serves_without_training(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["sklearn"])
    with serve(service) as server:
        assert server.client.post(URL, json=SETOSA).json()["label"] == "setosa"
    assert "model loaded" in server.log.read_text()


def test_prod_waits_for_a_missing_model(service: Path, tmp_path: Path) -> None:
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


def test_prod_rejects_a_modified_model_until_it_is_retrained(service: Path) -> None:
    (model,) = service.glob("instance/models/sklearn/*/model.onnx")
    content = model.read_bytes()
    model.write_bytes(content + b"\0")
    result = subprocess.run(
        [str(SCRIPTS / "python"), "serve.py"],
        cwd=service,
        env=os.environ | PROD | {"PORT": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    assert "model.onnx doesn't match its checksum: train it" in result.stderr
    train(service, "sklearn")
    with serve(service, **PROD) as server:
        assert server.client.post(URL, json=SETOSA).status_code == 200


def test_draining_server_closes_connections(service: Path, tmp_path: Path) -> None:
    file = tmp_path / "draining"
    file.touch()  # left by an earlier run
    with serve(service, **PROD, DRAIN_FILE=str(file)) as server:
        assert "Connection" not in server.client.get("/health").headers
        file.touch()
        for response in (server.client.get("/health"), server.client.post(URL, json=SETOSA)):
            assert response.status_code == 200
            assert response.headers["Connection"] == "close"


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_sigterm_under_load_loses_no_accepted_request(service: Path, engine: str) -> None:
    (service / "log.txt").unlink(missing_ok=True)
    begun = Event()
    environment = {**PROD, "SKLEARN_ENGINE": engine}
    with serve(service, **environment) as server, ThreadPoolExecutor(16) as pool:
        callers = [pool.submit(call_until_it_stops, server, begun) for _ in range(16)]
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


def call_until_it_stops(server: Server, begun: Event) -> int:
    """Send requests until the server stops; returns the number of responses."""
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
