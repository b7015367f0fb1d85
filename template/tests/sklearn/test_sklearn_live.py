"""The classifier over a connection."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.3, 3.3, 6.0, 2.5]

Connect = Callable[[], Any]


def ask(client: Any, **document: object) -> Any:
    return client.emit("predict", document, callback=True)


def test_predictions_come_as_events_in_their_order(client: FlaskClient, connect: Connect) -> None:
    socket = connect()
    for number, features in enumerate([SETOSA, VIRGINICA, SETOSA]):
        ask(socket, model="sklearn", id=number, features=features)
    answers = [one["args"][0] for one in socket.get_received() if one["name"] == "prediction"]
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    (first,) = answers[0]["predictions"]
    assert first == client.post("/api/v1/sklearn/predict", json={"features": SETOSA}).get_json()
    rows = ask(socket, model="sklearn", rows=[VIRGINICA, SETOSA])
    assert [row["label"] for row in rows["predictions"]] == ["virginica", "setosa"]


def test_what_does_not_validate_is_answered(connect: Connect) -> None:
    socket = connect()
    for field, document in (
        ("model", {}),
        ("model", {"model": "nothing", "features": SETOSA}),
        ("features.0", {"model": "sklearn", "features": ["x", 1, 2, 3]}),
        ("features.0", {"model": "sklearn", "features": [float("nan"), 1, 2, 3]}),
        ("features", {"model": "sklearn", "features": [1, 2, 3]}),
        ("other", {"model": "sklearn", "features": SETOSA, "other": 1}),
        ("body", {"model": "sklearn"}),
    ):
        answer = ask(socket, **document)
        assert answer["status"] == 422, document
        assert [error["field"] for error in answer["errors"]] == [field], document
