"""The job ``torch.predict``."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.torch import jobs
from app.torch.jobs import PredictJob
from app.torch.training import make_sample

URL = "/api/v1/jobs"
ROWS: list[list[float]] = make_sample().rows[:2].tolist()


def test_many_examples_keep_their_order(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        found = jobs.predict(PredictJob(inputs=ROWS * 400))
    answer = client.post("/api/v1/torch/predict", json={"inputs": ROWS}).get_json()
    assert len(found) == 800
    for row, expected in zip(found[-2:], answer["predictions"], strict=True):
        assert row["class"] == expected["class"]
        assert row["confidence"] == pytest.approx(expected["confidence"], abs=1e-6)


@pytest.mark.parametrize("inputs", [[], [[1] * 9], [[1] * 9 + [None]], [["1"] * 10], [1, 2]])
def test_invalid_examples_are_422(client: FlaskClient, inputs: object) -> None:
    body = {"kind": "torch.predict", "input": {"inputs": inputs}}
    response = client.post(URL, json=body)
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"].startswith("input.inputs")
