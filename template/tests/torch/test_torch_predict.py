"""Predictions over HTTP."""

import json
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.errors import PROBLEM_JSON
from app.serving.arrays import NPY, FloatArray
from app.torch.service import TorchLoader
from app.torch.training import make_sample

URL = "/api/v1/torch/predict"
DATA = make_sample()
ROWS: list[list[float]] = DATA.rows[:64].tolist()


def npy(array: FloatArray) -> bytes:
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def send(client: FlaskClient, body: str) -> Any:
    return client.post(URL, data=body, content_type="application/json")


def test_examples_keep_their_order(client: FlaskClient) -> None:
    answer = client.post(URL, json={"inputs": ROWS}).get_json()
    assert set(answer) == {"device", "batch_size", "predictions"}
    assert (answer["device"], answer["batch_size"]) == ("cpu", len(ROWS))
    predictions = answer["predictions"]
    fields = {"class", "label", "confidence", "proba"}
    assert all(set(prediction) == fields for prediction in predictions)
    assert all(1 / 3 <= prediction["confidence"] <= 1 for prediction in predictions)
    found = np.array([prediction["class"] for prediction in predictions])
    assert (found == DATA.classes[:64]).mean() > 0.9
    repeated = '{"inputs": [], "inputs": ROWS}'.replace("ROWS", json.dumps(ROWS))
    assert send(client, repeated).get_json() == answer
    alone = client.post(URL, json={"inputs": ROWS[7:8]}).get_json()["predictions"]
    assert alone[0]["class"] == predictions[7]["class"]
    assert alone[0]["confidence"] == pytest.approx(predictions[7]["confidence"], abs=1e-6)


def test_columns_equal_rows(client: FlaskClient) -> None:
    body = {"inputs": ROWS[:3]}
    rows = client.post(URL, json=body).get_json()["predictions"]
    columns = client.post(f"{URL}?layout=columns", json=body).get_json()
    assert set(columns) == {"device", "batch_size", "class", "label", "confidence", "proba"}
    for name in ("class", "label"):
        assert columns[name] == [row[name] for row in rows], name
    assert columns["confidence"] == pytest.approx([row["confidence"] for row in rows])
    for label in DATA.labels:
        expected = [row["proba"][label] for row in rows]
        assert columns["proba"][label] == pytest.approx(expected), label
    assert client.post(f"{URL}?layout=other", json=body).status_code == 422


def test_array_is_classified_like_json(client: FlaskClient) -> None:
    expected = client.post(URL, json={"inputs": ROWS[:2]}).get_json()
    answer = client.post(URL, data=npy(DATA.rows[:2]), content_type=NPY)
    assert answer.get_json() == expected
    for array, status in ((DATA.rows[0], 422), (np.full((1, 10), np.nan), 422)):
        assert client.post(URL, data=npy(array), content_type=NPY).status_code == status
    assert client.post(URL, data=b"nonsense", content_type=NPY).status_code == 400


def test_extreme_numbers_are_classified(client: FlaskClient) -> None:
    rows = [[0] * 10, [-0.0, 1e-320] * 5, [3.4e38] * 10, [-3.4e38, 3.4e38] * 5]
    answer = client.post(URL, json={"inputs": rows})
    assert answer.status_code == 200
    assert all(0 <= row["confidence"] <= 1 for row in answer.get_json()["predictions"])


def test_invalid_body_is_422(client: FlaskClient) -> None:
    texts = ['"4"', "true", "null", "NaN", "Infinity", "1e39", "9" * 400, "[4]", "{}"]
    bodies = ['{"inputs": [[1, 2, 3, 4, 5, 6, 7, 8, 9, ?]]}'.replace("?", text) for text in texts]
    wrong: list[Any] = [[], [1] * 10, [[1] * 9], [[1] * 11], [[[1] * 10]], [[]], [[1] * 10] * 513]
    bodies += [json.dumps({"inputs": inputs}) for inputs in wrong]
    bodies += ["{}", "[]", "null", '{"inputs": null}', json.dumps({"inputs": ROWS, "other": 1})]
    for body in bodies:
        response = send(client, body)
        assert (response.status_code, response.mimetype) == (422, PROBLEM_JSON), body[:80]
        assert response.get_json()["errors"], body[:80]
        assert len(response.data) < 4000
    assert send(client, '{"inputs": [').status_code == 400
    assert client.post(URL, data=b"1,2,3,4", content_type="text/csv").status_code == 415


def test_missing_model_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    config = app.config | {"APP_ENV": "prod", "TORCH_MODEL_DIR": tmp_path_factory.mktemp("none")}
    monkeypatch.setitem(app.extensions, "torch", TorchLoader(config))
    response = client.post(URL, json={"inputs": ROWS})
    assert (response.status_code, response.mimetype) == (503, PROBLEM_JSON)
    assert response.headers["Retry-After"]


def test_request_and_response_forms_are_documented(anonymous: FlaskClient) -> None:
    document = anonymous.get("/openapi.json").get_json()
    operation = document["paths"][URL]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", NPY}
    assert [parameter["name"] for parameter in operation["parameters"]] == ["layout"]
    assert {"200", "400", "413", "415", "422", "503"} <= set(operation["responses"])
    prediction = document["components"]["schemas"]["TorchPrediction"]
    assert set(prediction["properties"]) == {"class", "label", "confidence", "proba"}
# {% if "probes" in components %}


def test_service_is_ready_once_the_model_is_loaded(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader: TorchLoader = app.extensions["torch"]
    loader.get()
    assert anonymous.get("/ready").get_json()["checks"]["torch"] is True
    none = {"APP_ENV": "prod", "TORCH_MODEL_DIR": app.config["TORCH_MODEL_DIR"] / "none"}
    monkeypatch.setattr(loader, "classifier", None)
    monkeypatch.setattr(loader, "open_current", TorchLoader(app.config | none).open_current)
    assert anonymous.get("/ready").get_json()["checks"]["torch"] is False
# {% endif %}
