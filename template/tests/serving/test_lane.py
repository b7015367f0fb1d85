"""The lane past Flask."""

import pytest
from flask import Blueprint, Flask, Response, g, request
from flask.testing import FlaskClient

from app import metrics, middleware
from app.api import JSON
from app.serving.answers import Layout
from app.serving.arrays import NPY
from app.serving.lane import open_lane

URL = "/double"


def make_app() -> Flask:
    """An application that doubles what it is sent; by its lane, a body of digits alone, which says
    how it was asked.
    """
    app = Flask("lane")
    app.config.update(MAX_CONTENT_LENGTH=8, TESTING=True)
    middleware.init_app(app)
    metrics.init_app(app)
    blueprint = Blueprint("test", __name__)

    @blueprint.route(URL, methods=["POST", "PUT"])
    def double() -> Response:
        return Response(b"view " + request.get_data() * 2)

    def answer(body: bytes, media_type: str, layout: Layout) -> bytes | None:
        if body == b"broken":
            raise ValueError
        return f"{media_type} {layout} ".encode() + body * 2 if body.isdigit() else None

    app.register_blueprint(blueprint)
    open_lane(app, "test.double", answer)
    return app


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_app().test_client()


def test_what_is_plain_takes_the_lane(client: FlaskClient) -> None:
    response = client.post(URL, data="12", headers={"X-Request-ID": "abc"}, content_type=JSON)
    assert (response.status_code, response.data) == (200, b"application/json rows 1212")
    assert response.content_type == "application/json"
    assert response.content_length == len(response.data)
    assert response.headers["X-Request-ID"] == "abc"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    sample = 'http_requests_total{method="POST",route="/double",status="200"}'
    assert sample in client.get("/metrics").text


def test_the_other_forms_of_a_prediction_take_it_too(client: FlaskClient) -> None:
    for query, layout in (("layout=columns", b"columns"), ("layout=rows", b"rows")):
        for media_type in (JSON, NPY):
            response = client.post(f"{URL}?{query}", data="12", content_type=media_type)
            assert response.data == media_type.encode() + b" " + layout + b" 1212"
            assert response.content_type == JSON


def test_all_else_goes_to_flask(client: FlaskClient) -> None:
    assert client.put(URL, data="12", content_type=JSON).data == b"view 1212"
    for query in ("a=b", "layout=other", "layout=columns&a=b"):
        assert client.post(f"{URL}?{query}", data="12", content_type=JSON).data == b"view 1212"
    assert client.post(URL, data="12", content_type="text/plain").data == b"view 1212"
    for body in ("x", "broken"):
        assert client.post(URL, data=body, content_type=JSON).data == f"view {body * 2}".encode()
    assert client.post("/nowhere", data="12", content_type=JSON).status_code == 404
    assert client.get(URL).status_code == 405
    assert client.post(URL, data="123456789", content_type=JSON).status_code == 413


@pytest.mark.parametrize("stage", ["before_request", "after_request", "teardown_request"])
def test_a_hook_closes_the_lane(stage: str) -> None:
    app = make_app()

    def hook(given: Response | None = None) -> Response | None:
        g.hooked = True
        return given

    getattr(app, stage)(hook)
    assert app.test_client().post(URL, data="12", content_type=JSON).data == b"view 1212"
