"""Validation of input by typed endpoints."""

from io import BytesIO
from typing import Literal

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import Field, ValidationError
# {% if storage or "deepface" in components %}
from werkzeug.datastructures import FileStorage
# {% endif %}

from app import errors, openapi
from app.api import (
    MAX_COUNTED,
    MAX_ERRORS,
    MAX_NAME,
    Query,
    Schema,
    Text,
    endpoint,
    field_errors,
    # {% if serving %}
    read_body,
    # {% endif %}
)
from app.config import load_settings
from app.errors import PROBLEM_JSON


class Item(Schema):
    name: Text
    count: int = 1


class Options(Schema):
    note: str = ""


class Search(Query):
    order: Literal["up", "down"] = "up"
    tag: list[str] = Field(default_factory=list)


class Found(Schema):
    order: str
    tag: list[str]


# {% if storage or "deepface" in components %}
class Size(Schema):
    size: int


# {% endif %}
class Weight(Schema):
    kg: float


@pytest.fixture(scope="module")
def api(settings: dict[str, object]) -> FlaskClient:
    """A client of an application with only these endpoints."""
    app = Flask("api")
    app.config.from_mapping(load_settings(settings))
    errors.init_app(app)
    openapi.init_app(app)

    @app.post("/items")
    @endpoint(returns=Item, status=201)
    def create(body: Item) -> tuple[Item, dict[str, str]]:
        return body, {"Location": "/items/1"}

    @app.post("/options")
    @endpoint(returns=Options)
    def options(body: Options) -> Options:
        return body

    @app.get("/search")
    @endpoint(returns=Found)
    def search(query: Search) -> Search:
        return query

    # {% if storage or "deepface" in components %}
    @app.post("/files")
    @endpoint(returns=Size)
    def files(file: FileStorage) -> Size:
        return Size(size=len(file.read()))

    # {% endif %}
    @app.post("/weights")
    @endpoint(returns=Weight)
    def weights(body: Weight) -> Weight:
        return body

    # {% if serving %}
    @app.post("/either")
    @endpoint(returns=Options, body_types=("text/x-reversed",))
    def either(body: Options | None) -> Options:
        return body or Options(note=read_body().decode()[::-1])

    # {% endif %}
    return app.test_client()


def test_a_valid_body_is_accepted(api: FlaskClient) -> None:
    response = api.post("/items", json={"name": "a"})
    assert response.status_code == 201
    assert response.json == {"name": "a", "count": 1}
    assert response.headers["Location"] == "/items/1"


def test_invalid_fields_are_listed(api: FlaskClient) -> None:
    cases: list[tuple[object, str]] = [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"name": "a", "count": "1"}, "count"),
        ({"name": "a", "count": True}, "count"),
        ({"name": "a", "other": 1}, "other"),
        ([], "body"),
        ("text", "body"),
    ]
    for body, field in cases:
        response = api.post("/items", json=body)
        assert (response.status_code, response.mimetype) == (422, PROBLEM_JSON), body
        assert response.get_json()["errors"][0]["field"] == field, body


def test_the_list_of_errors_is_bounded(api: FlaskClient) -> None:
    response = api.post("/items", json={f"unknown{i}": "x" * 1000 for i in range(100)})
    assert len(response.get_json()["errors"]) == MAX_ERRORS
    assert len(response.data) < 4000


def test_too_many_errors_are_counted_but_not_built() -> None:
    class ManyErrors(Exception):  # noqa: N818
        def error_count(self) -> int:
            return MAX_COUNTED + 1

    error: ValidationError = ManyErrors()  # type: ignore[assignment]  # has no other method
    (found,) = field_errors(error, "body")
    assert found["field"] == "body"
    assert str(MAX_COUNTED + 1) in found["detail"]


def test_a_body_with_hundreds_of_errors_is_422(api: FlaskClient) -> None:
    response = api.post("/items", json={f"unknown{i}": 1 for i in range(MAX_COUNTED)})
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == ["body"]


def test_long_field_names_are_truncated(api: FlaskClient) -> None:
    response = api.post("/items", json={"x" * 1_000_000: 1, "name": "a"})
    assert response.get_json()["errors"][0]["field"] == "x" * MAX_NAME
    assert len(response.data) < 1000


# {% if serving %}
def test_a_body_may_have_another_media_type(api: FlaskClient) -> None:
    for body, content_type, status in (
        (b"olleh", "text/x-reversed", 200),
        (b'{"note": "hello"}', "application/json", 200),
        (b"hello", "text/plain", 415),
    ):
        response = api.post("/either", data=body, content_type=content_type)
        assert response.status_code == status, (body, content_type)
        assert status != 200 or response.json == {"note": "hello"}, content_type
    document = api.get("/openapi.json").get_json()
    content = document["paths"]["/either"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "text/x-reversed"}


# {% endif %}
def test_malformed_json_is_400_even_if_all_fields_are_optional(api: FlaskClient) -> None:
    for body in (b"", b"{", b'{"note": NaN', b'"\xff"', b"[" * 10_000):
        response = api.post("/options", data=body, content_type="application/json")
        assert (response.status_code, response.mimetype) == (400, PROBLEM_JSON), body[:20]


def test_nan_and_infinity_are_422(api: FlaskClient) -> None:
    for number in (b"NaN", b"-Infinity", b"1e400"):
        body = b'{"kg": %b}' % number
        response = api.post("/weights", data=body, content_type="application/json")
        assert response.status_code == 422, number


def test_another_media_type_is_415(api: FlaskClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", None):
        response = api.post("/items", data=b'{"name": "a"}', content_type=content_type)
        assert response.status_code == 415, content_type


def test_an_encoded_body_is_415(api: FlaskClient) -> None:
    headers = {"Content-Encoding": "gzip"}
    response = api.post("/items", data=b"", headers=headers, content_type="application/json")
    assert response.status_code == 415
    assert response.headers["Accept-Encoding"] == "identity"


def test_a_repeated_parameter_is_a_list(api: FlaskClient) -> None:
    assert api.get("/search?tag=a&tag=b").json == {"order": "up", "tag": ["a", "b"]}
    assert api.get("/search?tag=a").json == {"order": "up", "tag": ["a"]}


def test_an_invalid_query_is_422(api: FlaskClient) -> None:
    for query in ("order=sideways", "order=up&order=down"):
        response = api.get(f"/search?{query}")
        assert response.status_code == 422, query
        assert response.get_json()["errors"][0]["field"] == "order", query


# {% if storage or "deepface" in components %}
def test_a_file_is_accepted(api: FlaskClient) -> None:
    response = api.post("/files", data={"file": (BytesIO(b"abc"), "a.txt")})
    assert response.json == {"size": 3}


def test_a_missing_file_is_422(api: FlaskClient) -> None:
    for form in ({"file": "no file"}, {"other": (BytesIO(b""), "a.txt")}):
        response = api.post("/files", data=form, content_type="multipart/form-data")
        assert response.status_code == 422, form
        assert response.get_json()["errors"][0]["field"] == "file", form


def test_a_file_outside_a_form_is_415(api: FlaskClient) -> None:
    assert api.post("/files", data=b"abc", content_type="image/png").status_code == 415


# {% endif %}
def test_405_has_an_allow_header(api: FlaskClient) -> None:
    response = api.put("/items")
    assert response.status_code == 405
    assert response.mimetype == PROBLEM_JSON
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_a_body_over_the_limit_is_413(api: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.application.config, "MAX_CONTENT_LENGTH", 10)
    response = api.post("/items", json={"name": "a" * 10})
    assert response.status_code == 413
    assert response.mimetype == PROBLEM_JSON


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/search", 405), ("/items", 415)])
def test_unread_bodies_are_drained(api: FlaskClient, path: str, status: int) -> None:
    body = BytesIO(b"a" * 1000)
    length = {"CONTENT_LENGTH": "1000"}
    response = api.post(path, input_stream=body, environ_overrides=length)
    assert response.status_code == status
    assert body.tell() == 1000


def test_at_most_twice_the_limit_is_drained(
    api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.application.config, "MAX_CONTENT_LENGTH", 100)
    for size, read in ((150, 150), (1000, 200)):
        body = BytesIO(b" " * size)
        response = api.post(
            "/items",
            input_stream=body,
            content_type="application/json",
            environ_overrides={"CONTENT_LENGTH": str(size)},
        )
        assert (response.status_code, body.tell()) == (413, read)


def test_a_truncated_body_is_400(api: FlaskClient) -> None:
    response = api.post(
        "/items",
        data=b'{"name": "a"}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "500"},
    )
    assert response.status_code == 400


def test_chunked_bodies_are_bounded(api: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.application.config, "MAX_CONTENT_LENGTH", 20)
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    for size, status in ((50, 413), (5, 400)):
        response = api.post(
            "/items",
            input_stream=BytesIO(b" " * size),
            content_type="application/json",
            environ_overrides=chunked,
        )
        assert response.status_code == status, size


def test_a_broken_chunk_is_400(api: FlaskClient) -> None:
    class Broken(BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError("invalid chunk size")

        readinto = readline = readall = read  # type: ignore[assignment]

    for environ in ({"CONTENT_LENGTH": "9"}, {"wsgi.input_terminated": True}):
        response = api.post(
            "/items",
            input_stream=Broken(),
            content_type="application/json",
            environ_overrides=environ,
        )
        assert response.status_code == 400, environ
        assert "chunk" not in response.text, environ
        # {% if storage or "deepface" in components %}
        form = "multipart/form-data; boundary=x"
        response = api.post(
            "/files", input_stream=Broken(), content_type=form, environ_overrides=environ
        )
        assert response.status_code == 400, environ
        # {% endif %}


def test_the_openapi_document_describes_all_endpoints(api: FlaskClient) -> None:
    document = api.get("/openapi.json").get_json()
    create = document["paths"]["/items"]["post"]
    assert set(create["responses"]) >= {"201", "400", "413", "415", "422"}
    assert list(create["responses"]["422"]["content"]) == [PROBLEM_JSON]
    search = document["paths"]["/search"]["get"]
    assert [parameter["name"] for parameter in search["parameters"]] == ["order", "tag"]
    # {% if storage or "deepface" in components %}
    files = document["paths"]["/files"]["post"]
    assert list(files["requestBody"]["content"]) == ["multipart/form-data"]
    # {% endif %}
