"""The fast path past Flask's dispatch."""

import pytest
from flask import Blueprint, Flask, Response, request
from flask.testing import FlaskClient

from app import metrics, middleware
from app.api import JSON
from app.serving.fast_path import add_fast_path

URL = "/double"


def make_app() -> Flask:
    """An application that doubles a body, and on the fast path one made of digits."""
    app = Flask("fast_path")
    app.config.update(MAX_CONTENT_LENGTH=8, TESTING=True)
    middleware.init_app(app)
    metrics.init_app(app)
    blueprint = Blueprint("test", __name__)

    @blueprint.route(URL, methods=["POST", "PUT"])
    def double() -> Response:
        return Response(b"view " + request.get_data() * 2)

    def answer(body: bytes) -> bytes:
        int(body)
        return b"fast " + body * 2

    app.register_blueprint(blueprint)
    add_fast_path(app, "test.double", answer)
    return app


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_app().test_client()


def test_plain_json_is_answered_like_by_flask(client: FlaskClient) -> None:
    response = client.post(URL, data="12", headers={"X-Request-ID": "abc"}, content_type=JSON)
    assert (response.status_code, response.data) == (200, b"fast 1212")
    assert response.content_type == "application/json"
    assert response.content_length == len(response.data)
    assert response.headers["X-Request-ID"] == "abc"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    sample = 'http_requests_total{method="POST",route="/double",status="200"}'
    assert sample in client.get("/metrics").text


def test_flask_handles_all_other_requests(client: FlaskClient) -> None:
    assert client.put(URL, data="12", content_type=JSON).data == b"view 1212"
    assert client.post(f"{URL}?a=b", data="12", content_type=JSON).data == b"view 1212"
    assert client.post(URL, data="12", content_type="text/plain").data == b"view 1212"
    assert client.post(URL, data="x", content_type=JSON).data == b"view xx"
    assert client.post("/nowhere", data="12", content_type=JSON).status_code == 404
    assert client.get(URL).status_code == 405
    assert client.post(URL, data="123456789", content_type=JSON).status_code == 413


@pytest.mark.parametrize("stage", ["before_request", "after_request", "teardown_request"])
def test_hook_disables_the_fast_path(stage: str) -> None:
    app = make_app()

    def hook(response: Response | None = None) -> Response | None:
        return response

    getattr(app, stage)(hook)
    assert app.test_client().post(URL, data="12", content_type=JSON).data == b"view 1212"
