"""Keyset pagination: a page starts after the last row of the previous one.

Deep pages cost as much as the first, and concurrent writes neither skip nor repeat rows. The cursor
is the sort key of that last row, signed so that clients cannot forge it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from flask import current_app, request, url_for
from itsdangerous import BadData, URLSafeSerializer
from pydantic import BeforeValidator, Field
from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.api import Query
from app.database import UtcDateTime, db
from app.errors import Invalid, field_error

T = TypeVar("T")
Keys = Sequence[InstrumentedAttribute[Any]]


def check_digits(value: object) -> object:
    """Refuse what only Python considers a number, such as 1_0."""
    if isinstance(value, str) and not re.fullmatch("[0-9]+", value):
        raise ValueError("Must be a whole number.")
    return value


class PageQuery(Query):
    """The page to return."""

    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(check_digits)] = 20
    cursor: Annotated[str, Field(max_length=512, pattern="^[A-Za-z0-9_.-]+$")] = Field(
        default_factory=str
    )


@dataclass(frozen=True)
class Page(Generic[T]):
    """Up to ``limit`` rows, and the cursor of the next page if there is one."""

    items: Sequence[T]
    next_cursor: str | None


def paginate(
    statement: Select[T], keys: Keys, query: PageQuery, *, descending: bool = False
) -> Page[T]:
    """Return a page of the rows that ``statement`` selects.

    Args:
        statement: selects one entity, without an order or a limit.
        keys: the columns to sort by. Together they are unique, and an index has exactly these.
        query: the limit and the cursor that the client sent.
        descending: sort from the largest key to the smallest.

    Raises:
        app.errors.Invalid: the cursor is malformed, forged or from another list.
    """
    statement = after(statement, keys, query.cursor, descending)
    rows = db.session.scalars(statement.limit(query.limit + 1)).all()
    items = rows[: query.limit]
    more = len(rows) > query.limit
    return Page(items, encode(keys, items[-1]) if more else None)


def after(statement: Select[T], keys: Keys, cursor: str, descending: bool) -> Select[T]:
    """Order by ``keys``, starting after the row of ``cursor``.

    Row values are compared as a whole, because the database can search an index for that; it would
    scan for single comparisons joined by OR.
    """
    order = [key.desc() if descending else key.asc() for key in keys]
    if cursor:
        row = tuple_(*keys)
        values = (literal(v, k.type) for k, v in zip(keys, decode(keys, cursor), strict=True))
        last = tuple_(*values)
        statement = statement.where(row < last if descending else row > last)
    return statement.order_by(*order)


def with_link(page: Page[T], query: PageQuery) -> tuple[Page[T], dict[str, str]]:
    """Add a ``Link`` header with the URL of the next page (RFC 8288)."""
    if page.next_cursor is None:
        return page, {}
    # Clients' parameters do not go through url_for, where names such as _scheme are special.
    values = request.args.to_dict(flat=False)
    values |= {"limit": [str(query.limit)], "cursor": [page.next_cursor]}
    absolute = bool(request.host)  # empty if the Host header is missing or invalid
    url = url_for(request.endpoint or "", _external=absolute, **(request.view_args or {}))
    return page, {"Link": f'<{url}?{urlencode(values, doseq=True)}>; rel="next"'}


def encode(keys: Keys, row: object) -> str:
    values = (getattr(row, key.key) for key in keys)
    return serializer(keys).dumps(
        [value.isoformat() if isinstance(value, datetime) else value for value in values]
    )


def decode(keys: Keys, cursor: str) -> list[Any]:
    try:
        values = serializer(keys).loads(cursor)
    except BadData:
        raise Invalid([field_error("cursor", "Invalid cursor.")]) from None
    return [
        datetime.fromisoformat(value) if isinstance(key.type, UtcDateTime) else value
        for key, value in zip(keys, values, strict=True)
    ]


def serializer(keys: Keys) -> URLSafeSerializer:
    """Signs cursors for one list: its columns are part of the signature."""
    return URLSafeSerializer(current_app.secret_key or "", salt=" ".join(map(str, keys)))
