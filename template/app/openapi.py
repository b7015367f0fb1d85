"""``GET /openapi.json``, generated from the views with ``@endpoint``, and ``GET /docs``."""

import inspect
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request, send_from_directory
from markupsafe import escape
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import to_json
from werkzeug.routing import Rule

from app.api import JSON, PREFIX, Endpoint
from app.errors import PROBLEM_JSON

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"
PARAMETER = re.compile(r"<(?:(?P<kind>\w+)(?:\(.*?\))?:)?(?P<name>\w+)>")
PATH_SCHEMAS: dict[str | None, dict[str, Any]] = {
    "int": {"type": "integer", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
}

References = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]

#: The files of Swagger UI. The page of the package itself does not support a path prefix.
ASSETS = str(files("flask_swagger_ui") / "dist")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
<link rel="icon" href="{root}/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui" data-url="{root}/openapi.json"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script>{script}</script>
</body>
</html>
"""
SCRIPT = """
const url = document.getElementById("swagger-ui").dataset.url;
SwaggerUIBundle({ url, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: "none" });
"""


class FieldError(BaseModel):
    """An invalid field of a request."""

    field: str
    detail: str


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


blueprint = Blueprint("openapi", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


@blueprint.get("/docs")
@blueprint.get("/docs/")
def docs() -> Response:
    """Show the API in Swagger UI, which loads nothing from other hosts."""
    title = escape(current_app.config["SERVICE_NAME"])
    page = PAGE.format(title=title, root=escape(request.script_root), script=SCRIPT)
    digest = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' "
    policy += f"'unsafe-inline'; frame-ancestors 'none'; script-src 'self' 'sha256-{digest}'"
    return Response(page, headers={"Content-Security-Policy": policy}, mimetype="text/html")


@blueprint.get("/docs/<path:path>")
def docs_file(path: str) -> Response:
    return send_from_directory(ASSETS, path, conditional=False, max_age=3600)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document, built at the first request."""
    document: dict[str, Any] | None = current_app.extensions.get("openapi")
    if document is None:
        document = current_app.extensions["openapi"] = build(current_app)
    servers = [{"url": request.script_root or "/"}]
    return Response(to_json({**document, "servers": servers}), mimetype=JSON)


def build(app: Flask) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document of every view with ``@endpoint``."""
    found = [
        (rule, endpoint)
        for rule in app.url_map.iter_rules()
        if (endpoint := getattr(app.view_functions[rule.endpoint], "endpoint", None))
    ]
    models: dict[tuple[Any, JsonSchemaMode], None] = {(Problem, "validation"): None}  # in order
    for _, endpoint in found:
        models |= {(endpoint.body, "validation"): None} if endpoint.body else {}
        models |= {(endpoint.returns, "serialization"): None} if endpoint.returns else {}
    references, definitions = models_json_schema(list(models), ref_template=REF)
    schemas = definitions["$defs"]
    for _, endpoint in found:
        schemas |= query_schema(endpoint).get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for rule, endpoint in found:
        path = PARAMETER.sub(r"{\g<name>}", rule.rule)
        operations = paths.setdefault(path, {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operations[method.lower()] = operation(app, rule, endpoint, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": app.config["SERVICE_NAME"], "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            # {% if "jwt" in components %}
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            # {% endif %}
        },
    }


def operation(app: Flask, rule: Rule, endpoint: Endpoint, references: References) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
    business = rule.rule.startswith(PREFIX)
    document: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": summary,
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": path_parameters(app, rule) + query_parameters(endpoint),
    }
    if description:
        document["description"] = description
    if endpoint.body:
        schema = references[endpoint.body, "validation"]
        document["requestBody"] = required_content(JSON, schema)
        for media_type in endpoint.body_types:
            binary = {"schema": {"type": "string", "contentMediaType": media_type}}
            document["requestBody"]["content"].setdefault(media_type, binary)
    if endpoint.files:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        schema = {"type": "object", "required": list(endpoint.files)}
        schema["properties"] = dict.fromkeys(endpoint.files, file)
        document["requestBody"] = required_content("multipart/form-data", schema)
    statuses = error_statuses(rule, endpoint)
    # {% if "jwt" in components %}
    token_type: str | None = getattr(view, "token_type", "access")
    if business and token_type:
        document["security"] = [{"bearer": []}]
        statuses.add(401)
    # {% endif %}
    document["responses"] = {str(endpoint.status): success(endpoint, references)}
    if endpoint.conditional:
        part = success(endpoint, references) | {"description": HTTPStatus(206).phrase}
        document["responses"] |= {"206": part, "304": {"description": HTTPStatus(304).phrase}}
    for status in sorted(statuses):
        document["responses"][str(status)] = problem_response(HTTPStatus(status).phrase)
    if business:
        document["responses"]["default"] = problem_response("Any other error")
    return document


def path_parameters(app: Flask, rule: Rule) -> list[dict[str, Any]]:
    """Describe the variables of a URL. A custom converter may have a ``schema`` attribute."""
    parameters = []
    for match in PARAMETER.finditer(rule.rule):
        known = PATH_SCHEMAS.get(match["kind"], {"type": "string"})
        converter = app.url_map.converters[match["kind"] or "default"]
        schema = getattr(converter, "schema", known)
        parameter = {"in": "path", "name": match["name"], "required": True, "schema": schema}
        parameters.append(parameter)
    return parameters


def query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    model = query_schema(endpoint)
    required = model.get("required", ())
    return [
        {"in": "query", "name": name, "required": name in required, "schema": schema}
        for name, schema in model.get("properties", {}).items()
    ]


def query_schema(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint.query.model_json_schema(ref_template=REF) if endpoint.query else {}


def error_statuses(rule: Rule, endpoint: Endpoint) -> set[int]:
    """Return the error statuses that follow from the input, and those declared by the view."""
    statuses = set(endpoint.errors)
    if endpoint.body:
        statuses |= {400, 413, 415, 422}
    if endpoint.files:
        statuses |= {413, 415, 422}
    if endpoint.query:
        statuses.add(422)
    if endpoint.conditional:
        statuses |= {412, 416}
    if rule.arguments:
        statuses.add(404)
    return statuses


def success(endpoint: Endpoint, references: References) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.returns:
        schema = references[endpoint.returns, "serialization"]
        text = {"type": "string"}
        response["content"] = {
            name: {"schema": schema if name == JSON else text} for name in endpoint.media_types
        }
    elif JSON not in endpoint.media_types:
        binary = {"schema": {"type": "string"}}
        response["content"] = dict.fromkeys(endpoint.media_types, binary)
    return response


def required_content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def problem_response(description: str) -> dict[str, Any]:
    reference = {"$ref": REF.format(model="Problem")}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": reference}}}
