"""Error messages of the ``flask`` commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from click import ClickException
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from app.api import field_errors


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print expected errors as one line and exit with status 1."""
    try:
        yield
    except ValidationError as error:
        faults = (f"{fault['field']}: {fault['detail']}" for fault in field_errors(error, "input"))
        raise ClickException("; ".join(faults)) from None
    except HTTPException as error:
        raise ClickException(error.description or error.name) from None
    except DBAPIError:
        raise ClickException(
            "The database is unavailable or not migrated (flask --app wsgi db upgrade)."
        ) from None
