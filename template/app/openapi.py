"""``GET /openapi.json``, made of what ``@endpoint`` knows, and ``GET /docs`` to read it in."""

import inspect
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from flask_swagger_ui import get_swaggerui_blueprint
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

PROBLEM_SCHEMA = {
    "type": "object",
    "description": "A problem document, RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

blueprint = Blueprint("openapi", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    # An absolute redirect target, so that the page never takes one from the Host header.
    settings = {"validatorUrl": "none", "oauth2RedirectUrl": "/docs/oauth2-redirect.html"}
    docs = get_swaggerui_blueprint(
        "/docs", "/openapi.json", {**settings, "app_name": app.config["SERVICE_NAME"]}
    )
    docs.after_request(allow_docs_page)
    app.register_blueprint(docs)
    app.add_url_rule("/docs", "swagger_ui.index", app.view_functions["swagger_ui.show"])


def allow_docs_page(response: Response) -> Response:
    """The page may load this host's files and run its own inline script, and nothing else."""
    policy = "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' "
    policy += "'unsafe-inline'; frame-ancestors 'none'; script-src 'self'"
    if response.mimetype == "text/html" and not response.direct_passthrough:
        for script in re.findall(rb"<script>(.*?)</script>", response.get_data(), re.DOTALL):
            policy += f" 'sha256-{b64encode(sha256(script).digest()).decode()}'"
    response.headers["Content-Security-Policy"] = policy
    return response


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document, built at its first request."""
    document: bytes | None = current_app.extensions.get("openapi")
    if document is None:
        document = current_app.extensions["openapi"] = to_json(build(current_app))
    return Response(document, mimetype=JSON)


def build(app: Flask) -> dict[str, Any]:
    """OpenAPI 3.1 of every view that has ``@endpoint``."""
    found = [
        (rule, endpoint)
        for rule in app.url_map.iter_rules()
        if (endpoint := getattr(app.view_functions[rule.endpoint], "endpoint", None))
    ]
    models: dict[tuple[Any, JsonSchemaMode], None] = {}  # in order, each once
    for _, endpoint in found:
        models |= {(endpoint.body, "validation"): None} if endpoint.body else {}
        models |= {(endpoint.returns, "serialization"): None} if endpoint.returns else {}
    references, definitions = models_json_schema(list(models), ref_template=REF)
    schemas = definitions.get("$defs", {}) | {"Problem": PROBLEM_SCHEMA}
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
    """What the URL's converters take; one of the service's own says it by its ``schema``."""
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
    """The statuses that follow from what the endpoint takes, with those it names itself."""
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
        response["content"] = {name: {"schema": schema} for name in endpoint.media_types}
    elif JSON not in endpoint.media_types:
        binary = {"schema": {"type": "string"}}
        response["content"] = dict.fromkeys(endpoint.media_types, binary)
    return response


def required_content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def problem_response(description: str) -> dict[str, Any]:
    reference = {"$ref": REF.format(model="Problem")}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": reference}}}
