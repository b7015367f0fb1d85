"""How predictions are laid out, for both models."""

from typing import Any, Literal

import orjson

from app.api import Query

Layout = Literal["rows", "columns"]


class PredictQuery(Query):
    """How the answer to several rows is laid out."""

    layout: Layout = "rows"


def to_json(document: Any) -> bytes:
    """JSON of anything with NumPy's arrays in it, contiguous ones."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
