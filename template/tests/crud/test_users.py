"""Users over HTTP and on the command line."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.exceptions import NotFound

from app.crud import service
from app.crud.schemas import UserIn, UserPatch
from app.database import db

ANN = {"email": "ann@example.com", "name": "Ann"}


def test_create_and_get(client: FlaskClient) -> None:
    created = client.post("/api/v1/users", json=ANN)
    assert created.status_code == 201
    assert created.get_json().items() >= ANN.items()
    again = client.get(created.headers["Location"])
    assert again.status_code == 200
    assert again.json == created.json


def test_email_is_compared_in_lower_case(client: FlaskClient) -> None:
    client.post("/api/v1/users", json=ANN)
    response = client.post("/api/v1/users", json={"email": "ANN@Example.com", "name": "Ann 2"})
    assert response.status_code == 409


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_invalid_fields_are_reported(client: FlaskClient, method: str) -> None:
    cases: list[dict[str, object]] = [
        {"email": "nobody", "name": "  "},
        {"email": "a@b", "name": "x" * 121},
        {"email": f"{'a' * 250}@example.com", "name": None},
        {"id": 7},
    ]
    path = "/api/v1/users"
    if method != "POST":
        path = client.post(path, json=ANN).headers["Location"]
    for bad in cases:
        response = client.open(path, method=method, json=ANN | bad)
        assert response.status_code == 422, bad
        assert [error["field"] for error in response.get_json()["errors"]] == list(bad)


def test_put_replaces_and_patch_changes(client: FlaskClient) -> None:
    path = client.post("/api/v1/users", json=ANN).headers["Location"]
    bob = {"email": "bob@example.com", "name": "Bob"}
    assert client.put(path, json=bob).get_json().items() >= bob.items()
    patched = client.patch(path, json={"name": "Robert"})
    assert patched.get_json().items() >= {**bob, "name": "Robert"}.items()
    assert client.put(path, json={"name": "Bob"}).status_code == 422


def test_change_to_an_email_in_use_is_409(client: FlaskClient) -> None:
    client.post("/api/v1/users", json=ANN)
    path = client.post("/api/v1/users", json=ANN | {"email": "b@example.com"}).headers["Location"]
    assert client.patch(path, json={"email": ANN["email"]}).status_code == 409
    assert client.get(path).get_json()["email"] == "b@example.com"


def test_delete(client: FlaskClient) -> None:
    path = client.post("/api/v1/users", json=ANN).headers["Location"]
    response = client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert client.open(path, method=method, json=ANN).status_code == 404


def test_an_id_out_of_range_is_404(client: FlaskClient) -> None:
    for user_id in ("0", "-1", "abc", "%EF%BC%91", str(2**31), str(10**30)):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            response = client.open(f"/api/v1/users/{user_id}", method=method, json=ANN)
            assert response.status_code == 404, (method, user_id)


def create_users(app: Flask, names: str) -> list[int]:
    """Create a user for each letter and return their ids."""
    with app.app_context():
        users = [UserIn(email=f"{name}@example.com", name=name) for name in names]
        return [service.create(user).id for user in users]


def test_list_is_in_order_of_creation(app: Flask, client: FlaskClient) -> None:
    create_users(app, "abc")
    body = client.get("/api/v1/users").get_json()
    assert [user["name"] for user in body["items"]][-3:] == ["a", "b", "c"]
# {% if "pagination" in components %}


def test_list_is_paginated(app: Flask, client: FlaskClient) -> None:
    create_users(app, "abcd")
    pages = [client.get("/api/v1/users?limit=2")]
    while cursor := pages[-1].get_json()["next_cursor"]:
        assert 'rel="next"' in pages[-1].headers["Link"]
        pages.append(client.get(f"/api/v1/users?limit=2&cursor={cursor}"))
    names = [[user["name"] for user in page.get_json()["items"]] for page in pages]
    # {% if "jwt" in components %}
    assert names == [["Admin", "a"], ["b", "c"], ["d"]]
    # {% else %}
    assert names == [["a", "b"], ["c", "d"]]
    # {% endif %}
# {% endif %}


def concurrent_creates(app: Flask, threads: int) -> Counter[str]:
    """The outcomes of threads that create the same user at once."""
    start = Barrier(threads)

    def create(_: int) -> str:
        start.wait()
        with app.app_context():
            try:
                service.create(UserIn(**ANN))
            except Exception as error:
                return type(error).__name__
            return "created"

    with ThreadPoolExecutor(threads) as pool:
        return Counter(pool.map(create, range(threads)))


def test_one_of_several_concurrent_creates_succeeds(file_app: Flask) -> None:
    assert concurrent_creates(file_app, 10) == {"created": 1, "Conflict": 9}


@pytest.mark.integration
def test_one_of_several_concurrent_creates_succeeds_on_postgresql(postgres_app: Flask) -> None:
    assert concurrent_creates(postgres_app, 50) == {"created": 1, "Conflict": 49}


def test_concurrent_changes_and_deletions_raise_nothing_else(file_app: Flask) -> None:
    def act(number: int) -> str:
        user_id = user_ids[number // 4]
        with file_app.app_context():
            try:
                if number % 2:
                    service.delete(user_id)
                else:
                    service.update(user_id, UserPatch(name=str(number)))
            except Exception as error:
                return type(error).__name__
            return "done"

    user_ids = create_users(file_app, "abcde")
    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(act, range(4 * len(user_ids))))
    assert set(outcomes) == {"done", "NotFound"}


def test_change_of_a_user_deleted_in_the_meantime_is_404(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        user = service.create(UserIn(**ANN))
        monkeypatch.setattr(service, "get", lambda _: user)
        db.session.execute(text("DELETE FROM users"))
        with pytest.raises(NotFound):
            service.update(user.id, UserPatch(name="Bob"))


def test_create_user_command(app: Flask) -> None:
    runner = app.test_cli_runner()
    assert runner.invoke(args=["create-user", "ann@example.com", "Ann"]).exit_code == 0
    taken = runner.invoke(args=["create-user", "ann@example.com", "Ann"])
    assert (taken.exit_code, taken.output) == (1, "Error: This e-mail address is already in use.\n")
    bad = runner.invoke(args=["create-user", "nobody", "Ann"])
    assert bad.exit_code == 1
    assert bad.output.startswith("Error: email: ")
    assert bad.output.count("\n") == 1
