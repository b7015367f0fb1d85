"""Files in answers, where Werkzeug departs from HTTP (RFC 9110)."""

import re
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import parse_date
from werkzeug.wrappers import Request

DATED = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE")
SUFFIX = re.compile(r"bytes=-(\d{1,20})")


def init_app(app: Flask) -> None:
    app.response_class = FileResponse


class FileResponse(Response):
    """What ``send_file`` makes: a condition that does not hold is an error like any other."""

    def make_conditional(
        self,
        request_or_environ: dict[str, Any] | Request,
        accept_ranges: bool | str = False,
        complete_length: int | None = None,
    ) -> Response:
        given = request_or_environ
        environ = given.environ if isinstance(given, Request) else given
        environ = without_ignored(environ, complete_length or 0)
        super().make_conditional(environ, accept_ranges, complete_length)
        if self.status_code == PreconditionFailed.code:
            self.close()
            raise PreconditionFailed
        return self


def without_ignored(environ: dict[str, Any], length: int) -> dict[str, Any]:
    """The environment without what a server ignores: numbers that no date can hold, units other
    than bytes, and a last part longer than the file, which is all of it.
    """
    kept = dict(environ)
    for name in DATED:
        try:
            parse_date(kept.get(name))
        except OverflowError:
            del kept[name]
    given = kept.get("HTTP_RANGE", "")
    suffix = SUFFIX.fullmatch(given)
    if not given.startswith("bytes=") or (suffix and int(suffix[1]) > length):
        kept.pop("HTTP_RANGE", None)
    if kept.get("HTTP_IF_MATCH") == "*":
        del kept["HTTP_IF_MATCH"]
    return kept
