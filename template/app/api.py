"""Typed endpoints: a view's signature says what it takes; it is checked here and documented in
``app.openapi``.

A parameter ``body`` is a JSON body, ``query`` the query string, both pydantic models; a parameter
of type ``FileStorage`` is a file in a multipart form; all others come from the URL.
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
MAX_FAULTS = 500  # with more, to look at them all would take the longer the more there are
MAX_NAME = 100  # characters of a field's name that an error gives back
MESSAGES = {"string_pattern_mismatch": "This does not have the form that is asked for here."}

#: Text that PostgreSQL can store: anything but NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
# {% if "crud" in components or "jwt" in components %}

LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#: An e-mail address as browsers check it (HTML standard, "valid e-mail address"), but with a dot in
#: its domain, in lower case.
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
    """A query string: text that must read as the field's type; unknown names are ignored."""


@dataclass(frozen=True)
class Endpoint:
    """What ``@endpoint`` knows of a view; ``app.openapi`` turns it into an operation."""

    returns: type[BaseModel] | None
    status: int
    errors: tuple[int, ...]
    media_types: tuple[str, ...]
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    files: tuple[str, ...]
    body_types: tuple[str, ...]
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
    """Check what the view takes, and turn what it returns into a response.

    Args:
        returns: the model of the answer; the view returns one, or an object with its attributes,
            alone or with a dict of headers. Without it the answer is empty.
        status: of the answer where all is well.
        errors: further statuses that the view can answer with; those that follow from its
            parameters are documented by themselves.
        media_types: of the answer, where the view builds the ``Response`` itself.
        body_types: further media types of the body. The view reads such a body itself, and its
            ``body`` is None.
        conditional: the view answers with ``send_file``, which heeds ``Range``, ``If-None-Match``
            and their like.
    """

    def decorate(view: View) -> View:
        parameters = inspect.signature(view, eval_str=True).parameters
        kinds = {name: parameter.annotation for name, parameter in parameters.items()}
        body, query = first_of(kinds.get("body")), kinds.get("query")
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
            returns,
            status,
            errors,
            tuple(media_types),
            body,
            query,
            files,
            tuple(body_types),
            conditional,
        )
        return wrapper

    return decorate


def first_of(kind: Any) -> Any:
    """The model in ``Model | None``."""
    return next(iter(get_args(kind)), kind)


def refuse_encoded_body() -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        headers = {"Accept-Encoding": "identity"}
        abort(problem(415, "Send the body without Content-Encoding.", headers))


def read_json(model: type[M]) -> M:
    """The request's JSON body as a model."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    return parse_json(model, read_body())


def parse_json(model: type[M], body: bytes) -> M:
    """JSON, from bytes to model in one step."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if is_no_json(error):
            raise BadRequest("The body is not valid JSON.") from None
        raise Invalid(field_errors(error, "body")) from None


def is_no_json(error: ValidationError) -> bool:
    """Whether the text could not even be parsed; there is no other fault then."""
    return error.error_count() == 1 and error.errors()[0]["type"] == "json_invalid"


def read_query(model: type[M]) -> M:
    """The query string; a parameter given more than once is a list."""
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
    """The files of a multipart form, one for each name."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data.")
    with client_faults():
        form = request.files
    given = {name: [file for file in form.getlist(name) if file.filename] for name in names}
    if missing := [name for name, files in given.items() if len(files) != 1]:
        detail = "Exactly one file with a name is required."
        raise Invalid([field_error(name, detail) for name in missing])
    return {name: files[0] for name, files in given.items()}


def field_errors(error: ValidationError, whole: str) -> list[dict[str, str]]:
    """Name each field, never its value; ``whole`` stands for the object itself."""
    if (count := error.error_count()) > MAX_FAULTS:
        return [field_error(whole, f"There are {count} faults, too many to name them.")]
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        field_error(
            ".".join(map(str, fault["loc"]))[:MAX_NAME] or whole,
            MESSAGES.get(fault["type"], fault["msg"]),
        )
        for fault in faults[:MAX_ERRORS]
    ]


def respond(result: Any, returns: type[BaseModel] | None, status: int) -> Response:
    if isinstance(result, Response):
        return result
    value, headers = result if isinstance(result, tuple) else (result, None)
    if returns is None:
        return Response(b"", status, headers)
    document = returns.model_validate(value).model_dump_json()
    return Response(document, status, headers, content_type=JSON)
