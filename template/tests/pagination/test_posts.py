"""The feed and its cursors."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from app.database import db
from app.pagination.cursor import PageQuery, after, encode
from app.pagination.models import Post
from app.pagination.service import list_page

KEYS = [Post.created_at, Post.id]
START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(count: int) -> None:
    """Store posts, each three with the same time."""
    rows = [
        {"title": str(i), "body": "", "created_at": START + timedelta(seconds=i // 3)}
        for i in range(count)
    ]
    db.session.execute(sa.insert(Post), rows)
    db.session.commit()


def walk(limit: int, after_page: Callable[[], None] = lambda: None) -> list[int]:
    """Return the ids on all pages, in order."""
    ids: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = list_page(PageQuery.model_construct(limit=limit, cursor=cursor))
        ids += [post.id for post in page.items]
        cursor = page.next_cursor
        db.session.rollback()
        after_page()
    return ids


def test_create_and_get(client: FlaskClient) -> None:
    created = client.post("/api/v1/posts", json={"title": " Hello ", "body": "World"})
    assert created.status_code == 201
    assert created.get_json()["title"] == "Hello"
    assert client.get(created.headers["Location"]).json == created.json


def test_delete(client: FlaskClient) -> None:
    path = client.post("/api/v1/posts", json={"title": "Hello"}).headers["Location"]
    assert client.delete(path).status_code == 204
    for method in ("GET", "DELETE"):
        assert client.open(path, method=method).status_code == 404


def test_invalid_fields_are_reported(client: FlaskClient) -> None:
    for body in ({}, {"title": ""}, {"title": "x" * 201}, {"title": 1}):
        response = client.post("/api/v1/posts", json=body)
        assert response.status_code == 422, body
        assert response.get_json()["errors"][0]["field"] == "title", body


def test_links_lead_through_all_pages(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        fill(7)
    titles: list[str] = []
    url = "/api/v1/posts?limit=3"
    while url:
        response = client.get(url)
        titles += [post["title"] for post in response.get_json()["items"]]
        link = response.headers.get("Link", "")
        url = link.removeprefix("<").partition(">")[0]
    assert titles == ["6", "5", "4", "3", "2", "1", "0"]


def test_link_keeps_other_query_parameters(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        fill(2)
    given = "_anchor=a&_external=b&_method=c&_scheme=d&endpoint=e&name=%C3%BC&name=%26"
    response = client.get(f"/api/v1/posts?limit=1&{given}")
    address, _, query = response.headers["Link"].partition(">")[0].partition("?")
    assert address == "<http://localhost/api/v1/posts"
    assert parse_qs(query) == parse_qs(given) | {
        "limit": ["1"],
        "cursor": [response.get_json()["next_cursor"]],
    }


def test_link_is_relative_without_a_valid_host(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        fill(2)
    response = client.get("/api/v1/posts?limit=1", headers={"Host": "a b"})
    assert response.headers["Link"].startswith("</api/v1/posts?limit=1&cursor=")


def test_empty_feed(client: FlaskClient) -> None:
    response = client.get("/api/v1/posts")
    assert response.json == {"items": [], "next_cursor": None}
    assert "Link" not in response.headers


def test_full_last_page_has_no_next_cursor(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        fill(4)
    first = client.get("/api/v1/posts?limit=2")
    last = client.get(f"/api/v1/posts?limit=2&cursor={first.get_json()['next_cursor']}")
    assert [post["title"] for post in last.get_json()["items"]] == ["1", "0"]
    assert last.get_json()["next_cursor"] is None
    assert "Link" not in last.headers


def test_invalid_limit_is_422(client: FlaskClient) -> None:
    for limit in ("abc", "-1", "0", "101", "", "1&limit=2", "1e9", "1_0", "+5", "%205", "5%0A"):
        response = client.get(f"/api/v1/posts?limit={limit}")
        assert response.status_code == 422, limit
        assert response.get_json()["errors"][0]["field"].startswith("limit"), limit


def test_invalid_cursor_is_422(client: FlaskClient) -> None:
    for cursor in ("", "x", "a.b", "%00", "ä", "x" * 513, "W10.abc"):
        response = client.get(f"/api/v1/posts?cursor={cursor}")
        assert response.status_code == 422, cursor
        assert response.get_json()["errors"][0]["field"] == "cursor", cursor


def test_cursor_of_another_list_is_422(app: Flask, client: FlaskClient) -> None:
    """Even if its columns have the same types."""
    with app.app_context():
        cursor = encode([Post.created_at, Post.title], Post(created_at=START, title="1"))
    response = client.get(f"/api/v1/posts?cursor={cursor}")
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "cursor"


def lasting_and_doomed() -> tuple[set[int], list[int]]:
    """Return the ids to keep during a walk, and those to delete."""
    ids = db.session.scalars(sa.select(Post.id).order_by(Post.id)).all()
    db.session.rollback()
    return {i for i in ids if i % 5}, [i for i in ids if i % 5 == 0]


def replace_post(post_id: int, seconds: int) -> None:
    """Delete a post and insert one at another position in the feed."""
    db.session.execute(sa.delete(Post).where(Post.id == post_id))
    db.session.add(Post(title="new", created_at=START + timedelta(seconds=seconds)))
    db.session.commit()


def test_concurrent_writes_skip_or_repeat_no_row(app: Flask) -> None:
    with app.app_context():
        fill(30)
        lasting, doomed = lasting_and_doomed()

        def disturb() -> None:
            """Write on both sides of the current position."""
            if doomed:
                replace_post(doomed.pop(0), seconds=100)
                replace_post(doomed.pop(), seconds=0)

        ids = walk(5, after_page=disturb)
    assert doomed == []
    assert len(ids) == len(set(ids))
    assert lasting <= set(ids)


@pytest.mark.integration
def test_concurrent_writes_skip_or_repeat_no_row_on_postgresql(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        fill(20_000)
        lasting, doomed = lasting_and_doomed()
        done = Event()

        def disturb() -> None:
            with postgres_app.app_context():
                while not done.is_set() and doomed:
                    replace_post(doomed.pop(), seconds=len(doomed))

        thread = Thread(target=disturb)
        thread.start()
        try:
            ids = walk(100)
        finally:
            done.set()
            thread.join()
    assert len(ids) == len(set(ids))
    assert lasting <= set(ids)


def query_with_cursor() -> sa.Select[Post]:
    """The query of the second page."""
    post = db.session.scalars(sa.select(Post).order_by(Post.id)).first()
    return after(sa.select(Post), KEYS, encode(KEYS, post), True).limit(21)


def plan(app: Flask, explain: str, rows: int) -> str:
    """The database's plan for the query of the second page, with parameters as it is sent."""
    sent: list[tuple[str, Any]] = []
    with app.app_context():
        fill(rows)
        db.session.execute(sa.text("ANALYZE"))

        @sa.event.listens_for(db.engine, "before_cursor_execute")
        def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            sent.append((statement, parameters))

        db.session.scalars(query_with_cursor()).all()
        statement, parameters = sent[-1]
        assert "2026" not in statement
        steps = db.session.connection().exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(step[-1]) for step in steps)


def test_an_index_serves_the_query(app: Flask) -> None:
    steps = plan(app, "EXPLAIN QUERY PLAN", 300)
    assert re.fullmatch(r"SEARCH posts USING INDEX ix_posts_created_at_id \(.*<.*\)", steps)


@pytest.mark.integration
def test_an_index_serves_the_query_on_postgresql(postgres_app: Flask) -> None:
    steps = plan(postgres_app, "EXPLAIN", 20_000)
    assert "Index Scan Backward using ix_posts_created_at_id" in steps
    assert "Index Cond: (ROW(created_at, id) <" in steps
    assert "Sort" not in steps
