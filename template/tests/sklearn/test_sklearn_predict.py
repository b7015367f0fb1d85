"""Predictions over HTTP."""

import json
from io import BytesIO
from itertools import product
# {% if "probes" in components %}
from threading import Event
# {% endif %}
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api import JSON
from app.errors import PROBLEM_JSON
from app.serving.answers import Layout
from app.serving.arrays import NPY, FloatArray
from app.serving.batching import Batcher
from app.serving.models import Classifier
from app.sklearn.routes import answer
from app.sklearn.schemas import rows_of
from app.sklearn.service import SklearnModels

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


def test_one_example_is_classified(client: FlaskClient) -> None:
    answer = client.post(URL, json={"features": SETOSA}).get_json()
    assert set(answer) == {"label", "class_index", "confidence", "proba"}
    assert (answer["label"], answer["class_index"]) == ("setosa", 0)
    assert list(answer["proba"]) == LABELS
    assert sum(answer["proba"].values()) == pytest.approx(1)
    assert answer["confidence"] == answer["proba"]["setosa"] > 0.9


def test_rows_are_classified_in_their_order(client: FlaskClient) -> None:
    answer = client.post(URL, json={"rows": [VIRGINICA, SETOSA] * 256}).get_json()
    assert [row["label"] for row in answer] == ["virginica", "setosa"] * 256
    assert answer[1] == client.post(URL, json={"features": SETOSA}).get_json()


def test_columns_say_the_same(client: FlaskClient) -> None:
    body = {"rows": [VIRGINICA, SETOSA]}
    rows = client.post(URL, json=body).get_json()
    columns = client.post(f"{URL}?layout=columns", json=body).get_json()
    for name in ("label", "class_index", "confidence"):
        assert columns[name] == [row[name] for row in rows], name
    for label in LABELS:
        assert columns["proba"][label] == [row["proba"][label] for row in rows], label
    assert client.post(f"{URL}?layout=other", json=body).status_code == 422


def test_plain_requests_need_no_flask(app: Flask, client: FlaskClient) -> None:
    models: SklearnModels = app.extensions["sklearn"]
    rows = [SETOSA, VIRGINICA]
    bodies = [(JSON, json.dumps(body).encode()) for body in ({"features": SETOSA}, {"rows": rows})]
    bodies.append((NPY, npy(np.array(rows))))
    layouts: list[Layout] = ["rows", "columns"]
    for (media_type, body), layout in product(bodies, layouts):
        # A media type with a parameter is Flask's to parse.
        asked = client.post(f"{URL}?layout={layout}", data=body, content_type=f"{media_type}; a=b")
        assert answer(models, body, media_type, layout) == asked.data
    assert answer(models, b'{"features": [1, 2, 3]}', JSON, "rows") is None


def test_labels_stand_in_answers_as_they_are() -> None:
    labels = ["100 %b", '"', "é"]
    (row,) = rows_of(np.array([[0.25, 0.5, 0.25]]), labels)
    proba = {"100 %b": 0.25, '"': 0.5, "é": 0.25}
    expected = {"label": '"', "class_index": 1, "confidence": 0.5, "proba": proba}
    assert json.loads(row) == expected


def test_an_array_is_classified_like_json(client: FlaskClient) -> None:
    rows = [VIRGINICA, SETOSA]
    expected = client.post(URL, json={"rows": rows}).get_json()
    answer = client.post(URL, data=npy(np.array(rows)), content_type=NPY)
    assert answer.get_json() == expected
    for array, status in ((np.array(SETOSA), 422), (np.full((1, 4), np.nan), 422)):
        assert client.post(URL, data=npy(array), content_type=NPY).status_code == status
    assert client.post(URL, data=b"nonsense", content_type=NPY).status_code == 400


def test_extremes_get_an_answer(client: FlaskClient) -> None:
    rows = [[0, 0, 0, 0], [-0.0, 1e-320, 1, 2], [3.4e38] * 4, [-3.4e38, 3.4e38, 3.4e38, -3.4e38]]
    answer = client.post(URL, json={"rows": rows})
    assert answer.status_code == 200
    assert all(0 <= row["confidence"] <= 1 for row in answer.get_json())


def test_what_does_not_validate_is_422(client: FlaskClient) -> None:
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


def test_an_error_is_short_whatever_was_sent(client: FlaskClient) -> None:
    large = "x" * 1_000_000
    for body in ({"features": [large] * 4}, {"rows": [[large[:500]] * 4] * 512}, {large: 1}):
        response = client.post(URL, json=body)
        assert response.status_code == 422
        assert len(response.data) < 4000


def test_malformed_json_is_400_and_another_type_415(client: FlaskClient) -> None:
    assert send(client, '{"features": [').status_code == 400
    assert client.post(URL, data=b"1,2,3,4", content_type="text/csv").status_code == 415


def test_without_a_model_it_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    config = app.config | {"APP_ENV": "prod", "SKLEARN_MODEL_DIR": tmp_path_factory.mktemp("none")}
    models: SklearnModels = app.extensions["sklearn"]
    monkeypatch.setattr(models, "classifier", None)
    monkeypatch.setattr(models, "load", SklearnModels(config).load)
    response = client.post(URL, json={"features": SETOSA})
    assert (response.status_code, response.mimetype) == (503, PROBLEM_JSON)
    assert response.headers["Retry-After"]
    assert "model is not ready" in response.get_json()["detail"]


def test_a_full_queue_is_503(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: SklearnModels = app.extensions["sklearn"]
    full = Batcher(models.get().compute, "sklearn", batch_rows=2, queue_rows=1)
    full.waiting = 1  # as if another request waited
    monkeypatch.setattr(models, "classifier", Classifier(full, LABELS))
    response = client.post(URL, json={"features": SETOSA})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert client.post(URL, json={"rows": [SETOSA] * 2}).status_code == 200


def test_both_forms_are_documented(anonymous: FlaskClient) -> None:
    document = anonymous.get("/openapi.json").get_json()
    operation = document["paths"][URL]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", NPY}
    assert [parameter["name"] for parameter in operation["parameters"]] == ["layout"]
    assert {"200", "400", "413", "415", "422", "503"} <= set(operation["responses"])
    assert {"SklearnPrediction", "SklearnColumns"} <= set(document["components"]["schemas"])
# {% if "probes" in components %}


def test_ready_waits_for_the_model(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Event()

    def load() -> Classifier:
        assert loaded.is_set(), "not yet"
        return Classifier(lambda rows: rows, LABELS)

    models: SklearnModels = app.extensions["sklearn"]
    monkeypatch.setattr(models, "classifier", None)
    monkeypatch.setattr(models, "load", load)
    assert anonymous.get("/ready").get_json()["checks"]["sklearn"] is False
    loaded.set()
    assert anonymous.get("/ready").get_json()["checks"]["sklearn"] is True
# {% endif %}
