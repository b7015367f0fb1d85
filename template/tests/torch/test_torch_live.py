"""The classifier over a connection."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

INPUTS = [0.1 * number for number in range(10)]

Connect = Callable[[], Any]


def test_predictions_come_as_events(client: FlaskClient, connect: Connect) -> None:
    socket = connect()
    asked = {"model": "torch", "id": "a", "inputs": [INPUTS, INPUTS[::-1]]}
    answer = socket.emit("predict", asked, callback=True)
    over_http = client.post("/api/v1/torch/predict", json={"inputs": asked["inputs"]}).get_json()
    assert answer["predictions"] == over_http["predictions"]
    (event,) = [one["args"][0] for one in socket.get_received() if one["name"] == "prediction"]
    assert event == answer
    assert event["id"] == "a"


def test_what_does_not_validate_is_answered(connect: Connect) -> None:
    asked = {"model": "torch", "inputs": [[1, 2, 3]]}
    answer = connect().emit("predict", asked, callback=True)
    assert answer["status"] == 422
    assert [error["field"] for error in answer["errors"]] == ["inputs.0"]
