"""What the ``flask`` commands share."""

from collections.abc import Iterator
from contextlib import contextmanager

from click import ClickException
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from app.api import field_errors


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a client would get as a problem document into one line and a non-zero exit."""
    try:
        yield
    except ValidationError as error:
        faults = (f"{fault['field']}: {fault['detail']}" for fault in field_errors(error, "input"))
        raise ClickException("; ".join(faults)) from None
    except HTTPException as error:
        raise ClickException(error.description or error.name) from None
    except DBAPIError:
        raise ClickException(
            "The database does not answer, or lacks a table: flask --app wsgi db upgrade"
        ) from None
