"""Who may do what: routes that concern something with an owner, called by everybody."""

from collections.abc import Callable
# {% if "crud" in components %}
from concurrent.futures import ThreadPoolExecutor
# {% endif %}
# {% if components | select("in", ["s3", "uploads"]) | list %}
from io import BytesIO
# {% endif %}
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update
# {% if "crud" in components %}
from werkzeug.exceptions import Conflict

from app.crud import service as crud
from app.crud.schemas import UserPatch
# {% else %}

# {% endif %}
from app.database import db
from app.jwt import tokens
from app.users.models import Role, User

#: Requests, and the status for a client without a token, another user, the owner and an admin.
TABLE: list[tuple[str, dict[str, Any], tuple[int, int, int, int]]] = [
    ("GET /api/v1/auth/me", {}, (401, 200, 200, 200)),
    ("POST /api/v1/auth/logout", {}, (401, 204, 204, 204)),
    # {% if "crud" in components %}
    ("GET /api/v1/users", {}, (401, 403, 403, 200)),
    ("POST /api/v1/users", {"json": {"email": "b@example.com", "name": "B"}}, (401, 403, 403, 201)),
    ("GET {user}", {}, (401, 403, 200, 200)),
    ("PUT {user}", {"json": {"email": "b@example.com", "name": "B"}}, (401, 403, 200, 200)),
    ("PATCH {user}", {"json": {"name": "B"}}, (401, 403, 200, 200)),
    ("PATCH {user}", {"json": {"role": "admin"}}, (401, 403, 403, 200)),
    ("PATCH {user}", {"json": {"name": ""}}, (401, 403, 422, 422)),
    ("DELETE {user}", {}, (401, 403, 204, 204)),
    ("GET /api/v1/users/999999", {}, (401, 403, 403, 404)),
    # {% endif %}
    # {% if "pagination" in components %}
    ("GET /api/v1/posts", {}, (401, 200, 200, 200)),
    ("POST /api/v1/posts", {"json": {"title": "Hello"}}, (401, 201, 201, 201)),
    ("GET {post}", {}, (401, 200, 200, 200)),
    ("DELETE {post}", {}, (401, 403, 204, 204)),
    # {% endif %}
    # {% if "celery" in components %}
    ("GET {job}", {}, (401, 404, 200, 200)),
    ("DELETE {job}", {}, (401, 404, 200, 200)),
    # {% endif %}
    # {% if "s3" in components %}
    ("GET {file}", {}, (401, 404, 200, 200)),
    ("GET {file}/url", {}, (401, 404, 200, 200)),
    ("DELETE {file}", {}, (401, 404, 204, 204)),
    # {% endif %}
    # {% if "uploads" in components %}
    ("GET {upload}", {}, (401, 404, 200, 200)),
    ("GET {upload}/content", {}, (401, 404, 200, 200)),
    # {% endif %}
]

Person = Callable[..., FlaskClient]


@pytest.fixture
def person(app: Flask) -> Person:
    """Creates a user and returns a client that is logged in as them."""

    def create(name: str, role: Role = "user") -> FlaskClient:
        client = app.test_client()
        with app.app_context():
            user = User(email=f"{name}@example.com", name=name, role=role)
            db.session.add(user)
            db.session.commit()
            pair = tokens.issue(user)
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {pair.access_token}"
        return client

    return create


def create_things(owner: FlaskClient) -> dict[str, str]:
    """Something of every kind that users own; the path of each."""
    user_id = owner.get("/api/v1/auth/me").get_json()["id"]
    things = {"user": f"/api/v1/users/{user_id}"}
    # {% if "pagination" in components %}
    post = owner.post("/api/v1/posts", json={"title": "Hello"})
    things["post"] = post.headers["Location"]
    # {% endif %}
    # {% if "celery" in components %}
    job = owner.post("/api/v1/jobs", json={"kind": "checksum", "input": {"text": "a"}})
    things["job"] = job.headers["Location"]
    # {% endif %}
    # {% if "s3" in components %}
    file = owner.post("/api/v1/files", data={"file": (BytesIO(b"a,b"), "a.csv")})
    things["file"] = file.headers["Location"]
    # {% endif %}
    # {% if "uploads" in components %}
    upload = owner.post("/api/v1/uploads", data={"file": (BytesIO(b"a,b"), "a.csv")})
    things["upload"] = upload.headers["Location"]
    # {% endif %}
    return things


@pytest.mark.parametrize("caller", ["nobody", "other", "owner", "admin"])
@pytest.mark.parametrize(("request_line", "options", "statuses"), TABLE)
def test_permissions(
    anonymous: FlaskClient,
    client: FlaskClient,
    person: Person,
    request_line: str,
    options: dict[str, Any],
    statuses: tuple[int, int, int, int],
    caller: str,
) -> None:
    owner = person("owner")
    callers = {"nobody": anonymous, "other": person("other"), "owner": owner, "admin": client}
    method, _, path = request_line.format(**create_things(owner)).partition(" ")
    response = callers[caller].open(path, method=method, **options)
    response.close()
    assert response.status_code == dict(zip(callers, statuses, strict=True))[caller]


def test_deleting_a_user_revokes_their_tokens(app: Flask, person: Person) -> None:
    owner = person("owner")
    with app.app_context():
        db.session.execute(delete(User).where(User.email == "owner@example.com"))
        db.session.commit()
    assert owner.get("/api/v1/auth/me").status_code == 401


def test_a_role_changes_at_once(app: Flask, person: Person) -> None:
    boss = person("boss", "admin")
    with app.app_context():
        db.session.execute(update(User).values(role="user"))
        db.session.commit()
    assert boss.get("/api/v1/auth/me").get_json()["role"] == "user"
# {% if "pagination" in components %}


def test_posts_outlive_their_owner(app: Flask, client: FlaskClient, person: Person) -> None:
    path = create_things(person("owner"))["post"]
    with app.app_context():
        db.session.execute(delete(User).where(User.email == "owner@example.com"))
        db.session.commit()
    assert client.get(path).get_json()["owner_id"] is None
    assert person("other").delete(path).status_code == 403
    assert client.delete(path).status_code == 204
# {% endif %}
# {% if "crud" in components %}


def test_the_last_admin_stays(client: FlaskClient, person: Person) -> None:
    me = f"/api/v1/users/{client.get('/api/v1/auth/me').get_json()['id']}"
    person("other")
    assert client.patch(me, json={"role": "user"}).status_code == 409
    assert client.delete(me).status_code == 409
    assert client.get(me).get_json()["role"] == "admin"
    person("boss", "admin")
    assert client.patch(me, json={"role": "user"}).status_code == 200


@pytest.mark.integration
def test_concurrent_requests_do_not_remove_all_admins(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        users = [User(email=f"{n}@example.com", name="Admin", role="admin") for n in range(4)]
        db.session.add_all(users)
        db.session.commit()
        ids = [user.id for user in users]

    def remove(user_id: int) -> str:
        with postgres_app.app_context():
            try:
                if user_id % 2:
                    crud.delete(user_id)
                else:
                    crud.update(user_id, UserPatch(role="user"))
            except Conflict:
                return "conflict"
            return "removed"

    with ThreadPoolExecutor(len(ids)) as pool:
        outcomes = sorted(pool.map(remove, ids))
    assert outcomes == ["conflict", "removed", "removed", "removed"]


def test_users_of_admins_have_no_password(client: FlaskClient, anonymous: FlaskClient) -> None:
    """And nobody can take such a user over by registering."""
    ann = {"email": "ann@example.com", "name": "Ann"}
    assert client.post("/api/v1/users", json=ann).status_code == 201
    login = {"email": ann["email"], "password": "correct horse"}
    assert anonymous.post("/api/v1/auth/login", json=login).status_code == 401
    assert anonymous.post("/api/v1/auth/register", json=login).status_code == 409
    assert anonymous.post("/api/v1/auth/login", json=login).status_code == 401
# {% endif %}
