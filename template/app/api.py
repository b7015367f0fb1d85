"""Typed endpoints: a view declares its input in its signature.

The input is validated here and documented by ``app.openapi``. The parameters ``body`` (JSON) and
``query`` are pydantic models; a parameter of type ``FileStorage`` is a file of a multipart form;
all others come from the URL.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, get_args, get_origin

from flask import Response, abort, request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.bodies import client_faults, read_body
from app.errors import Invalid, field_error, problem

PREFIX = "/api/v1"
JSON = "application/json"
MAX_ERRORS = 20
MAX_COUNTED = 500  # errors; listing more takes too long
MAX_NAME = 100  # characters of a field's name
MESSAGES = {"string_pattern_mismatch": "Invalid format."}

#: Text that PostgreSQL can store: anything but NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
# {% if "crud" in components or "jwt" in components %}

LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#: A valid e-mail address of the HTML standard with a dot in its domain, converted to lower case.
Email = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        max_length=254,
        pattern=r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@" + rf"(?:{LABEL}\.)+{LABEL}$",
    ),
]
# {% endif %}

M = TypeVar("M", bound=BaseModel)
View = Callable[..., Any]


class Schema(BaseModel):
    """A JSON object: exact types, no unknown fields."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        from_attributes=True,
        allow_inf_nan=False,
    )


class Query(BaseModel):
    """A query string. Values are converted to the type of the field; unknown names are ignored."""


@dataclass(frozen=True)
class Endpoint:
    """The description of a view, from which ``app.openapi`` makes an operation."""

    returns: type[BaseModel] | None
    status: int
    errors: tuple[int, ...]
    media_types: Sequence[str]
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    files: tuple[str, ...]
    body_types: Sequence[str]
    conditional: bool


def endpoint(
    *,
    returns: type[BaseModel] | None = None,
    status: int = 200,
    errors: tuple[int, ...] = (),
    media_types: Sequence[str] = (JSON,),
    body_types: Sequence[str] = (),
    conditional: bool = False,
) -> Callable[[View], View]:
    """Validate the input of a view and turn its return value into a response.

    Args:
        returns: the model of the response. The view returns an instance or any object with the
            same attributes, optionally followed by a dict of headers. Without a model the response
            is empty.
        status: the status of a successful response.
        errors: further statuses to document; those that follow from the parameters are included.
        media_types: the media types of the response, if the view returns a ``Response``.
        body_types: media types of a body other than JSON. The view reads such a body itself and
            gets None as ``body``.
        conditional: the view supports ranges and conditional requests.
    """

    def decorate(view: View) -> View:
        parameters = inspect.signature(view, eval_str=True).parameters
        kinds = {name: parameter.annotation for name, parameter in parameters.items()}
        body, query = without_none(kinds.get("body")), kinds.get("query")
        files = tuple(name for name, kind in kinds.items() if kind is FileStorage)

        @wraps(view)
        def wrapper(**arguments: Any) -> Response:
            if body is not None or files:
                refuse_encoded_body()
            if query is not None:
                arguments["query"] = read_query(query)
            if body is not None:
                raw = request.mimetype in body_types
                arguments["body"] = None if raw else read_json(body)
            if files:
                arguments |= read_files(files)
            return respond(view(**arguments), returns, status)

        wrapper.endpoint = Endpoint(  # type: ignore[attr-defined]
            returns, status, errors, media_types, body, query, files, body_types, conditional
        )
        return wrapper

    return decorate


def without_none(kind: Any) -> Any:
    """Return ``Model`` for ``Model | None``."""
    return next(iter(get_args(kind)), kind)


def refuse_encoded_body() -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        headers = {"Accept-Encoding": "identity"}
        abort(problem(415, "Send the body without Content-Encoding.", headers))


def read_json(model: type[M]) -> M:
    """Read the JSON body of the request into a model."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    return parse_json(model, read_body())


def parse_json(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() == 1 and error.errors()[0]["type"] == "json_invalid":
            raise BadRequest("The body is not valid JSON.") from None
        raise Invalid(field_errors(error, "body")) from None


def read_query(model: type[M]) -> M:
    """Read the query string into a model. A repeated parameter is a list."""
    if not request.environ.get("QUERY_STRING"):
        return model()
    values: dict[str, Any] = {}
    for name, given in request.args.lists():
        field = model.model_fields.get(name)
        many = field is not None and get_origin(field.annotation) is list
        values[name] = given if many or len(given) > 1 else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Invalid(field_errors(error, "query")) from None


def read_files(names: tuple[str, ...]) -> dict[str, FileStorage]:
    """Read a multipart form with one file for each name."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data.")
    with client_faults():
        form = request.files
    given = {name: [file for file in form.getlist(name) if file.filename] for name in names}
    if missing := [name for name, files in given.items() if len(files) != 1]:
        raise Invalid([field_error(name, "Exactly one file is required.") for name in missing])
    return {name: files[0] for name, files in given.items()}


def field_errors(error: ValidationError, whole: str) -> list[dict[str, str]]:
    """List the invalid fields without their values. ``whole`` names the object itself."""
    if (count := error.error_count()) > MAX_COUNTED:
        return [field_error(whole, f"{count} errors, too many to list.")]
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        field_error(
            ".".join(map(str, detail["loc"]))[:MAX_NAME] or whole,
            MESSAGES.get(detail["type"], detail["msg"]),
        )
        for detail in details[:MAX_ERRORS]
    ]


def respond(result: Any, returns: type[BaseModel] | None, status: int) -> Response:
    if isinstance(result, Response):
        return result
    value, headers = result if isinstance(result, tuple) else (result, None)
    if returns is None:
        return Response(b"", status, headers)
    document = returns.model_validate(value).model_dump_json()
    return Response(document, status, headers, content_type=JSON)
