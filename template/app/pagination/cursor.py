"""Keyset pagination: a page starts where the last one ended, so its cost and its rows do not
depend on how deep it lies or on what others write meanwhile.

The cursor is the last row's sort key, signed, so that clients cannot make up their own.
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
    """Python reads 1_0, or +5 after a space, as numbers too."""
    if isinstance(value, str) and not re.fullmatch("[0-9]+", value):
        raise ValueError("write it in decimal digits")
    return value


class PageQuery(Query):
    """Which page."""

    limit: Annotated[int, BeforeValidator(check_digits), Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=512, pattern="^[A-Za-z0-9_.-]+$")] = Field(
        default_factory=str
    )


@dataclass(frozen=True)
class Page(Generic[T]):
    """Up to ``limit`` rows, and the cursor of the next page where there is one."""

    items: Sequence[T]
    next_cursor: str | None


def paginate(
    statement: Select[T], keys: Keys, query: PageQuery, *, descending: bool = False
) -> Page[T]:
    """The page of ``statement`` that ``query`` asks for.

    Args:
        statement: selects one entity, without an order or a limit.
        keys: the columns to sort by, unique together, with an index on just these columns.
        descending: newest first.

    Raises:
        app.errors.Invalid: the cursor is broken, forged, or of another list.
    """
    statement = after(statement, keys, query.cursor, descending)
    rows = db.session.scalars(statement.limit(query.limit + 1)).all()
    items = rows[: query.limit]
    more = len(rows) > query.limit
    return Page(items, encode(keys, items[-1]) if more else None)


def after(statement: Select[T], keys: Keys, cursor: str, descending: bool) -> Select[T]:
    """Order by ``keys``, from behind the row of ``cursor`` on.

    The row values are compared as one: the database then searches the index, where comparisons
    joined by OR would make it scan.
    """
    order = [key.desc() if descending else key.asc() for key in keys]
    if cursor:
        row = tuple_(*keys)
        values = (literal(v, k.type) for k, v in zip(keys, decode(keys, cursor), strict=True))
        last = tuple_(*values)
        statement = statement.where(row < last if descending else row > last)
    return statement.order_by(*order)


def with_link(page: Page[T], query: PageQuery) -> tuple[Page[T], dict[str, str]]:
    """The page with the ``Link`` header of the next one (RFC 8288)."""
    if page.next_cursor is None:
        return page, {}
    # Not by url_for, to which names such as _scheme mean something else than a parameter.
    values = request.args.to_dict(flat=False)
    values |= {"limit": [str(query.limit)], "cursor": [page.next_cursor]}
    absolute = bool(request.host)  # nothing where the Host header is missing or is none
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
        raise Invalid([field_error("cursor", "This is no cursor of this list.")]) from None
    return [
        datetime.fromisoformat(value) if isinstance(key.type, UtcDateTime) else value
        for key, value in zip(keys, values, strict=True)
    ]


def serializer(keys: Keys) -> URLSafeSerializer:
    """Signs for one list alone: its columns are part of the signature."""
    return URLSafeSerializer(current_app.secret_key or "", salt=" ".join(map(str, keys)))
