"""What every typed endpoint promises, whatever it is for."""

from io import BytesIO
from typing import Literal

import pytest
from flask.testing import FlaskClient
from pydantic import Field
from werkzeug.datastructures import FileStorage

from app import create_app
from app.api import MAX_ERRORS, Query, Schema, Text, endpoint
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


class Size(Schema):
    size: int


@pytest.fixture(scope="module")
def api(settings: dict[str, object]) -> FlaskClient:
    app = create_app(settings)

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

    @app.post("/files")
    @endpoint(returns=Size)
    def files(file: FileStorage) -> Size:
        return Size(size=len(file.read()))

    return app.test_client()


def test_a_valid_body_is_taken(api: FlaskClient) -> None:
    response = api.post("/items", json={"name": "a"})
    assert response.status_code == 201
    assert response.json == {"name": "a", "count": 1}
    assert response.headers["Location"] == "/items/1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"name": "a", "count": "1"}, "count"),
        ({"name": "a", "count": True}, "count"),
        ({"name": "a", "other": 1}, "other"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_what_does_not_validate_is_named(api: FlaskClient, body: object, field: str) -> None:
    response = api.post("/items", json=body)
    assert response.status_code == 422
    assert response.mimetype == PROBLEM_JSON
    assert response.get_json()["errors"][0]["field"] == field


def test_no_more_errors_are_named_than_a_client_can_read(api: FlaskClient) -> None:
    response = api.post("/items", json={f"unknown{i}": "x" * 1000 for i in range(100)})
    assert len(response.get_json()["errors"]) == MAX_ERRORS
    assert len(response.data) < 4000


@pytest.mark.parametrize("body", [b"", b"{", b'{"note": NaN', b'"\xff"', b"[" * 10_000])
def test_malformed_json_is_400_even_where_every_field_is_optional(
    api: FlaskClient, body: bytes
) -> None:
    response = api.post("/options", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.mimetype == PROBLEM_JSON


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_another_media_type_is_415(api: FlaskClient, content_type: str | None) -> None:
    response = api.post("/items", data=b'{"name": "a"}', content_type=content_type)
    assert response.status_code == 415


def test_a_repeated_parameter_is_a_list(api: FlaskClient) -> None:
    assert api.get("/search?tag=a&tag=b").json == {"order": "up", "tag": ["a", "b"]}
    assert api.get("/search?tag=a").json == {"order": "up", "tag": ["a"]}


@pytest.mark.parametrize("query", ["order=sideways", "order=up&order=down"])
def test_a_query_that_does_not_validate_is_422(api: FlaskClient, query: str) -> None:
    response = api.get(f"/search?{query}")
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "order"


def test_a_file_is_taken(api: FlaskClient) -> None:
    response = api.post("/files", data={"file": (BytesIO(b"abc"), "a.txt")})
    assert response.json == {"size": 3}


@pytest.mark.parametrize("form", [{"file": "no file"}, {"other": (BytesIO(b""), "a.txt")}])
def test_a_missing_file_is_named(api: FlaskClient, form: dict[str, object]) -> None:
    response = api.post("/files", data=form, content_type="multipart/form-data")
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "file"


def test_a_file_outside_a_form_is_415(api: FlaskClient) -> None:
    assert api.post("/files", data=b"abc", content_type="image/png").status_code == 415


def test_405_says_what_is_allowed(api: FlaskClient) -> None:
    response = api.put("/items")
    assert response.status_code == 405
    assert response.mimetype == PROBLEM_JSON
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_a_body_over_the_bound_is_413(api: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.application.config, "MAX_CONTENT_LENGTH", 10)
    response = api.post("/items", json={"name": "a" * 10})
    assert response.status_code == 413
    assert response.mimetype == PROBLEM_JSON


def test_a_body_that_breaks_off_is_400(api: FlaskClient) -> None:
    response = api.post(
        "/items",
        data=b'{"name": "a"}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "500"},
    )
    assert response.status_code == 400


@pytest.mark.parametrize(("size", "status"), [(50, 413), (5, 400)])
def test_a_chunked_body_is_bounded_too(
    api: FlaskClient, monkeypatch: pytest.MonkeyPatch, size: int, status: int
) -> None:
    monkeypatch.setitem(api.application.config, "MAX_CONTENT_LENGTH", 20)
    response = api.post(
        "/items",
        input_stream=BytesIO(b" " * size),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert response.status_code == status


@pytest.mark.parametrize("path", ["/items", "/files"])
def test_a_servers_own_error_for_a_broken_body_is_400(api: FlaskClient, path: str) -> None:
    class Broken(BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError("invalid chunk size")

        readinto = readline = readall = read  # type: ignore[assignment]

    form = "multipart/form-data; boundary=x" if path == "/files" else "application/json"
    response = api.post(
        path, input_stream=Broken(), content_type=form, environ_overrides={"CONTENT_LENGTH": "9"}
    )
    assert response.status_code == 400
    assert "chunk" not in response.text


def test_the_document_describes_all_of_them(api: FlaskClient) -> None:
    document = api.get("/openapi.json").get_json()
    create = document["paths"]["/items"]["post"]
    assert set(create["responses"]) >= {"201", "400", "413", "415", "422"}
    assert list(create["responses"]["422"]["content"]) == [PROBLEM_JSON]
    search = document["paths"]["/search"]["get"]
    assert [parameter["name"] for parameter in search["parameters"]] == ["order", "tag"]
    files = document["paths"]["/files"]["post"]
    assert list(files["requestBody"]["content"]) == ["multipart/form-data"]
