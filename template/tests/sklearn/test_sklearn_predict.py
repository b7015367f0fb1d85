"""Predictions over HTTP."""

import json
from io import BytesIO
# {% if "probes" in components %}
from threading import Event
# {% endif %}
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.errors import PROBLEM_JSON
from app.serving.arrays import NPY, FloatArray
# {% if "probes" in components %}
from app.serving.models import Classifier
# {% endif %}
from app.sklearn.service import SklearnLoader

URL = "/api/v1/sklearn/predict"
SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.3, 3.3, 6.0, 2.5]
LABELS = ["setosa", "versicolor", "virginica"]


def npy(array: FloatArray) -> bytes:
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def send(client: FlaskClient, body: str) -> Any:
    return client.post(URL, data=body, content_type="application/json")


def test_single_example_is_classified(client: FlaskClient) -> None:
    answer = client.post(URL, json={"features": SETOSA}).get_json()
    assert set(answer) == {"label", "class_index", "confidence", "proba"}
    assert (answer["label"], answer["class_index"]) == ("setosa", 0)
    assert list(answer["proba"]) == LABELS
    assert sum(answer["proba"].values()) == pytest.approx(1)
    assert answer["confidence"] == answer["proba"]["setosa"] > 0.9


def test_rows_keep_their_order(client: FlaskClient) -> None:
    answer = client.post(URL, json={"rows": [VIRGINICA, SETOSA] * 256}).get_json()
    assert [row["label"] for row in answer] == ["virginica", "setosa"] * 256
    assert answer[1] == client.post(URL, json={"features": SETOSA}).get_json()


def test_columns_equal_rows(client: FlaskClient) -> None:
    body = {"rows": [VIRGINICA, SETOSA]}
    rows = client.post(URL, json=body).get_json()
    columns = client.post(f"{URL}?layout=columns", json=body).get_json()
    for name in ("label", "class_index", "confidence"):
        assert columns[name] == [row[name] for row in rows], name
    for label in LABELS:
        assert columns["proba"][label] == [row["proba"][label] for row in rows], label
    assert client.post(f"{URL}?layout=other", json=body).status_code == 422


def test_array_is_classified_like_json(client: FlaskClient) -> None:
    rows = [VIRGINICA, SETOSA]
    expected = client.post(URL, json={"rows": rows}).get_json()
    answer = client.post(URL, data=npy(np.array(rows)), content_type=NPY)
    assert answer.get_json() == expected
    for array, status in ((np.array(SETOSA), 422), (np.full((1, 4), np.nan), 422)):
        assert client.post(URL, data=npy(array), content_type=NPY).status_code == status
    assert client.post(URL, data=b"nonsense", content_type=NPY).status_code == 400


def test_extreme_numbers_are_classified(client: FlaskClient) -> None:
    rows = [[0, 0, 0, 0], [-0.0, 1e-320, 1, 2], [3.4e38] * 4, [-3.4e38, 3.4e38, 3.4e38, -3.4e38]]
    answer = client.post(URL, json={"rows": rows})
    assert answer.status_code == 200
    assert all(0 <= row["confidence"] <= 1 for row in answer.get_json())


def test_invalid_body_is_422(client: FlaskClient) -> None:
    def number(text: str) -> str:
        return '{"features": [1, 2, 3, ' + text + "]}"

    texts = ['"4"', "true", "null", "NaN", "Infinity", "-Infinity", "1e39", "-1e39", "1e999"]
    bodies = [number(text) for text in [*texts, "9" * 400, "[4]", "{}"]]
    wrong: list[list[Any]] = [[], [1, 2, 3], [1] * 5, [[1] * 4]]
    bodies += [json.dumps({"features": features}) for features in wrong]
    wrong = [[], [1] * 4, [[1] * 3], [[[1] * 4]], [[]], [SETOSA] * 513]
    bodies += [json.dumps({"rows": rows}) for rows in wrong]
    bodies.append(json.dumps({"rows": [SETOSA], "features": SETOSA}))
    bodies += ["{}", "[]", "null", '{"features": null}', '{"rows": null}']
    bodies += ['{"features": [1, 2, 3, 4], "other": 1}', '{"features": {"0": 1}}']
    for body in bodies:
        response = send(client, body)
        assert (response.status_code, response.mimetype) == (422, PROBLEM_JSON), body[:80]
        assert response.get_json()["errors"], body[:80]


def test_errors_are_short(client: FlaskClient) -> None:
    large = "x" * 1_000_000
    for body in ({"features": [large] * 4}, {"rows": [[large[:500]] * 4] * 512}, {large: 1}):
        response = client.post(URL, json=body)
        assert response.status_code == 422
        assert len(response.data) < 4000


def test_malformed_json_is_400_and_other_types_415(client: FlaskClient) -> None:
    assert send(client, '{"features": [').status_code == 400
    assert client.post(URL, data=b"1,2,3,4", content_type="text/csv").status_code == 415


def test_missing_model_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    config = app.config | {"APP_ENV": "prod", "SKLEARN_MODEL_DIR": tmp_path_factory.mktemp("none")}
    monkeypatch.setitem(app.extensions, "sklearn", SklearnLoader(config))
    response = client.post(URL, json={"features": SETOSA})
    assert (response.status_code, response.mimetype) == (503, PROBLEM_JSON)
    assert response.headers["Retry-After"]
    assert "model is not ready" in response.get_json()["detail"]


def test_request_and_response_forms_are_documented(anonymous: FlaskClient) -> None:
    document = anonymous.get("/openapi.json").get_json()
    operation = document["paths"][URL]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", NPY}
    assert [parameter["name"] for parameter in operation["parameters"]] == ["layout"]
    assert {"200", "400", "413", "415", "422", "503"} <= set(operation["responses"])
    assert {"SklearnPrediction", "SklearnColumns"} <= set(document["components"]["schemas"])
# {% if "probes" in components %}


def test_service_is_ready_once_the_model_is_loaded(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Event()

    def open_current() -> Classifier:
        assert loaded.is_set(), "not yet"
        return Classifier(lambda rows: rows, LABELS)

    loader: SklearnLoader = app.extensions["sklearn"]
    monkeypatch.setattr(loader, "classifier", None)
    monkeypatch.setattr(loader, "open_current", open_current)
    assert anonymous.get("/ready").get_json()["checks"]["sklearn"] is False
    loaded.set()
    assert anonymous.get("/ready").get_json()["checks"]["sklearn"] is True
# {% endif %}
