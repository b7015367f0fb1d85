"""Typed endpoints: a view declares its input in its signature.

The input is validated here and documented by ``app.openapi``. The parameters ``body`` (JSON) and
# {% if storage or "deepface" in components %}
``query`` are pydantic models; a parameter of type ``FileStorage`` is a file of a multipart form;
all others come from the URL.
# {% else %}
``query`` are pydantic models; all others come from the URL.
# {% endif %}
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import wraps
# {% if serving %}
from typing import Annotated, Any, TypeVar, get_args, get_origin
# {% else %}
from typing import Annotated, Any, TypeVar, get_origin
# {% endif %}

from flask import Response, abort, current_app, request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
# {% if storage or "deepface" in components %}
from werkzeug.datastructures import FileStorage
# {% endif %}
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

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


@dataclass(kw_only=True)
class Endpoint:
    """Validates the input of a view and turns its return value into a response.

    ``app.openapi`` makes an operation of it.

    Args:
        returns: the model of the response. The view returns an instance or any object with the
            same attributes, optionally followed by a dict of headers. Without a model the response
            is empty.
        status: the status of a successful response.
        # {% if "jwt" in components %}
        token: the type of token that a route under ``/api/v1`` requires, ``access`` or
            ``refresh``; None makes the route public.
        # {% endif %}
        errors: further statuses to document; those that follow from the parameters are included.
        # {% if storage or llm %}
        media_types: the media types of the response, if the view returns a ``Response``.
        # {% endif %}
        # {% if serving %}
        body_types: media types of a body other than JSON. The view reads such a body itself and
            gets None as ``body``.
        # {% endif %}
        # {% if storage %}
        conditional: the view supports ranges and conditional requests.
        # {% endif %}
    """

    returns: type[BaseModel] | None = None
    status: int = 200
    # {% if "jwt" in components %}
    token: str | None = "access"  # noqa: S105
    # {% endif %}
    errors: Collection[int] = ()
    # {% if storage or llm %}
    media_types: Collection[str] = (JSON,)
    # {% endif %}
    # {% if serving %}
    body_types: Collection[str] = ()
    # {% endif %}
    # {% if storage %}
    conditional: bool = False
    # {% endif %}
    body: Any = field(default=None, init=False)  # from the view's signature, like the next
    query: Any = field(default=None, init=False)
    # {% if storage or "deepface" in components %}
    files: Collection[str] = field(default=(), init=False)
    # {% endif %}

    def __call__(self, view: View) -> View:
        parameters = inspect.signature(view, eval_str=True).parameters
        hints = {name: parameter.annotation for name, parameter in parameters.items()}
        # {% if serving %}
        self.body = next(iter(get_args(hints.get("body"))), hints.get("body"))  # of Model | None
        # {% else %}
        self.body = hints.get("body")
        # {% endif %}
        self.query = hints.get("query")
        # {% if storage or "deepface" in components %}
        self.files = [name for name, hint in hints.items() if hint is FileStorage]
        # {% endif %}

        @wraps(view)
        def wrapper(**arguments: Any) -> Response:
            if self.query:
                arguments["query"] = read_query(self.query)
            if self.body:
                # {% if serving %}
                raw = request.mimetype in self.body_types
                arguments["body"] = None if raw else read_json(self.body)
                # {% else %}
                arguments["body"] = read_json(self.body)
                # {% endif %}
            # {% if storage or "deepface" in components %}
            if self.files:
                arguments |= read_files(self.files)
            # {% endif %}
            return respond(view(**arguments), self.returns, self.status)

        wrapper.endpoint = self  # type: ignore[attr-defined]
        return wrapper


endpoint = Endpoint


def read_json(model: type[M]) -> M:
    """Read the JSON body of the request into a model."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    try:
        return model.model_validate_json(read_body())
    except ValidationError as error:
        if error.error_count() == 1 and error.errors()[0]["type"] == "json_invalid":
            raise BadRequest("The body is not valid JSON.") from None
        raise Invalid(field_errors(error, "body")) from None


def read_body() -> bytes:
    """Return the request's whole body. It can be read again."""
    refuse_encoding()
    body = request.get_data()
    # A body in chunks is cut off at the limit.
    if request.content_length is None and len(body) >= current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge
    return body


def refuse_encoding() -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        headers = {"Accept-Encoding": "identity"}
        abort(problem(415, "Send the body without Content-Encoding.", headers))


def read_query(model: type[M]) -> M:
    """Read the query string into a model. A repeated parameter is a list."""
    values: dict[str, Any] = {}
    for name, given in request.args.lists():
        field = model.model_fields.get(name)
        many = field is not None and get_origin(field.annotation) is list
        values[name] = given if many or len(given) > 1 else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Invalid(field_errors(error, "query")) from None


# {% if storage or "deepface" in components %}
def read_files(names: Collection[str]) -> dict[str, FileStorage]:
    """Read a multipart form with one file for each name."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data.")
    refuse_encoding()
    given = {name: [f for f in request.files.getlist(name) if f.filename] for name in names}
    if missing := [name for name, files in given.items() if len(files) != 1]:
        raise Invalid([field_error(name, "Exactly one file is required.") for name in missing])
    return {name: files[0] for name, files in given.items()}


# {% endif %}
def field_errors(error: ValidationError, whole: str) -> list[dict[str, str]]:
    """List the invalid fields without their values. ``whole`` names the object itself."""
    if (count := error.error_count()) > MAX_COUNTED:
        return [field_error(whole, f"{count} errors, too many to list.")]
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        field_error(
            ".".join(map(str, detail["loc"]))[:MAX_NAME] or whole,
            MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, ")),
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
