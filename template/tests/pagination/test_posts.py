"""The feed, and the cursor that any list can use."""

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
    """Posts in groups of three that share their time."""
    rows = [
        {"title": str(i), "body": "", "created_at": START + timedelta(seconds=i // 3)}
        for i in range(count)
    ]
    db.session.execute(sa.insert(Post), rows)
    db.session.commit()


def walk(limit: int, after_page: Callable[[], None] = lambda: None) -> list[int]:
    """The ids of all pages, in the order in which they came."""
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


def test_bad_fields_are_named(client: FlaskClient) -> None:
    for body in ({}, {"title": ""}, {"title": "x" * 201}, {"title": 1}):
        response = client.post("/api/v1/posts", json=body)
        assert response.status_code == 422, body
        assert response.get_json()["errors"][0]["field"] == "title", body


def test_pages_follow_their_links(app: Flask, client: FlaskClient) -> None:
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


def test_a_link_keeps_what_else_was_asked_for(app: Flask, client: FlaskClient) -> None:
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


def test_a_link_is_relative_where_nobody_says_what_the_host_is(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context():
        fill(2)
    response = client.get("/api/v1/posts?limit=1", headers={"Host": "a b"})
    assert response.headers["Link"].startswith("</api/v1/posts?limit=1&cursor=")


def test_an_empty_feed_is_one_empty_page(client: FlaskClient) -> None:
    response = client.get("/api/v1/posts")
    assert response.json == {"items": [], "next_cursor": None}
    assert "Link" not in response.headers


def test_nothing_follows_a_last_page_that_is_full(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        fill(4)
    first = client.get("/api/v1/posts?limit=2")
    last = client.get(f"/api/v1/posts?limit=2&cursor={first.get_json()['next_cursor']}")
    assert [post["title"] for post in last.get_json()["items"]] == ["1", "0"]
    assert last.get_json()["next_cursor"] is None
    assert "Link" not in last.headers


def test_a_bad_limit_is_named(client: FlaskClient) -> None:
    for limit in ("abc", "-1", "0", "101", "", "1&limit=2", "1e9", "1_0", "+5", "%205", "5%0A"):
        response = client.get(f"/api/v1/posts?limit={limit}")
        assert response.status_code == 422, limit
        assert response.get_json()["errors"][0]["field"].startswith("limit"), limit


def test_a_broken_cursor_is_named(client: FlaskClient) -> None:
    for cursor in ("", "x", "a.b", "%00", "ä", "x" * 513, "W10.abc"):
        response = client.get(f"/api/v1/posts?cursor={cursor}")
        assert response.status_code == 422, cursor
        assert response.get_json()["errors"][0]["field"] == "cursor", cursor


def test_a_cursor_of_another_list_is_refused(app: Flask, client: FlaskClient) -> None:
    """Even where its columns are of the same types, so that it could be read."""
    with app.app_context():
        cursor = encode([Post.created_at, Post.title], Post(created_at=START, title="1"))
    response = client.get(f"/api/v1/posts?cursor={cursor}")
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "cursor"


def lasting_and_doomed() -> tuple[set[int], list[int]]:
    """The ids that stay during a walk, and those that somebody deletes meanwhile."""
    ids = db.session.scalars(sa.select(Post.id).order_by(Post.id)).all()
    db.session.rollback()
    return {i for i in ids if i % 5}, [i for i in ids if i % 5 == 0]


def replace_post(post_id: int, seconds: int) -> None:
    """Delete a post, and insert one at another place of the feed."""
    db.session.execute(sa.delete(Post).where(Post.id == post_id))
    db.session.add(Post(title="new", created_at=START + timedelta(seconds=seconds)))
    db.session.commit()


def test_no_row_is_skipped_or_shown_twice_while_others_write(app: Flask) -> None:
    with app.app_context():
        fill(30)
        lasting, doomed = lasting_and_doomed()

        def disturb() -> None:
            """On both sides of where the walk stands, while there is somebody left."""
            if doomed:
                replace_post(doomed.pop(0), seconds=100)
                replace_post(doomed.pop(), seconds=0)

        ids = walk(5, after_page=disturb)
    assert doomed == []
    assert len(ids) == len(set(ids))
    assert lasting <= set(ids)


@pytest.mark.integration
def test_no_row_is_skipped_or_shown_twice_on_postgresql(postgres_app: Flask) -> None:
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
    """The second page's query, with its values as parameters."""
    post = db.session.scalars(sa.select(Post).order_by(Post.id)).first()
    return after(sa.select(Post), KEYS, encode(KEYS, post), True).limit(21)


def plan(app: Flask, explain: str, rows: int) -> str:
    """How the database executes the second page's query, as it is sent: with parameters."""
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
