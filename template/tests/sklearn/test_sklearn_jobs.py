"""The job ``sklearn.predict``."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.sklearn import jobs
from app.sklearn.jobs import PredictJob

URL = "/api/v1/jobs"
SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.3, 3.3, 6.0, 2.5]


def test_many_rows_keep_their_order(app: Flask, client: FlaskClient) -> None:
    rows = [SETOSA, VIRGINICA] * 400
    with app.app_context():
        found = jobs.predict(PredictJob(rows=rows))
    assert [row["label"] for row in found] == ["setosa", "virginica"] * 400
    one = client.post("/api/v1/sklearn/predict", json={"features": SETOSA}).get_json()
    assert found[0] == {"label": "setosa", "confidence": pytest.approx(one["confidence"])}


@pytest.mark.parametrize("rows", [[], [[1, 2, 3]], [[1, 2, 3, None]], [["1", 2, 3, 4]], [1, 2]])
def test_invalid_rows_are_422(client: FlaskClient, rows: object) -> None:
    body = {"kind": "sklearn.predict", "input": {"rows": rows}}
    response = client.post(URL, json=body)
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"].startswith("input.rows")
