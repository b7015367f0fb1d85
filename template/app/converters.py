"""URL converters of the service's own."""

from werkzeug.routing import IntegerConverter, Map

LARGEST_ID = 2**31 - 1  # a 32-bit integer column


class IdConverter(IntegerConverter):
    """``<id:name>``: a primary key. What no row can have is a 404, without asking the database."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, min=1, max=LARGEST_ID)
