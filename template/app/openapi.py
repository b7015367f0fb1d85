"""``GET /openapi.json``, generated from the views with ``@endpoint``, and ``GET /docs``."""

import inspect
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request, send_from_directory
from markupsafe import escape
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import to_json
from werkzeug.routing import Rule

from app.api import JSON, PREFIX, Endpoint
from app.errors import PROBLEM_JSON

Document = dict[str, Any]

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"
PARAMETER = re.compile(r"<(?:[^<>]+:)?(\w+)>")

References = dict[Any, Document]  # by model and mode

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
    document: Document | None = current_app.extensions.get("openapi")
    if document is None:
        document = current_app.extensions["openapi"] = build(current_app)
    servers = [{"url": request.script_root or "/"}]
    return Response(to_json({**document, "servers": servers}), mimetype=JSON)


def build(app: Flask) -> Document:
    """Build the OpenAPI 3.1 document of every view with ``@endpoint``."""
    found = [
        (rule, endpoint)
        for rule in app.url_map.iter_rules()
        if (endpoint := getattr(app.view_functions[rule.endpoint], "endpoint", None))
    ]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "validation")]
    for _, endpoint in found:
        models += [(endpoint.body, "validation")] if endpoint.body else []
        models += [(endpoint.returns, "serialization")] if endpoint.returns else []
    references, definitions = models_json_schema(models, ref_template=REF)
    schemas = definitions["$defs"]
    paths: dict[str, Document] = {}
    for rule, endpoint in found:
        if endpoint.query:
            schemas |= endpoint.query.model_json_schema(ref_template=REF).get("$defs", {})
        operations = paths.setdefault(PARAMETER.sub(r"{\1}", rule.rule), {})
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


def operation(app: Flask, rule: Rule, endpoint: Endpoint, references: References) -> Document:
    view = app.view_functions[rule.endpoint]
    summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
    responses = {str(endpoint.status): success(endpoint, references)}
    document: Document = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": summary,
        "tags": [rule.endpoint.partition(".")[0]],
        "parameters": path_parameters(view, rule),
        "responses": responses,
    }
    if description:
        document["description"] = description
    errors = set(endpoint.errors)
    if rule.arguments:
        errors.add(404)
    if endpoint.query:
        document["parameters"] += query_parameters(endpoint.query)
        errors.add(422)
    if content := request_content(endpoint, references):
        document["requestBody"] = {"required": True, "content": content}
        errors |= {400, 413, 415, 422}
    # {% if storage %}
    if endpoint.conditional:
        responses["206"] = responses[str(endpoint.status)] | {"description": "Partial Content"}
        responses["304"] = {"description": "Not Modified"}
        errors |= {412, 416}
    # {% endif %}
    business = rule.rule.startswith(PREFIX)
    # {% if "jwt" in components %}
    if business and endpoint.token:
        document["security"] = [{"bearer": []}]
        errors.add(401)
    # {% endif %}
    for status in sorted(errors):
        responses[str(status)] = problem_response(HTTPStatus(status).phrase)
    if business:
        responses["default"] = problem_response("Any other error")
    return document


def path_parameters(view: Callable[..., Any], rule: Rule) -> list[Document]:
    """Describe the variables of a URL by the view's annotations."""
    parameters = inspect.signature(view, eval_str=True).parameters
    schemas = {
        name: TypeAdapter(parameter.annotation).json_schema()
        for name, parameter in parameters.items()
        if name in rule.arguments
    }
    return [
        {"in": "path", "name": name, "required": True, "schema": schema}
        for name, schema in schemas.items()
    ]


def query_parameters(model: type[BaseModel]) -> list[Document]:
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", ())
    return [
        {"in": "query", "name": name, "required": name in required, "schema": parameter}
        for name, parameter in schema["properties"].items()
    ]


def request_content(endpoint: Endpoint, references: References) -> Document:
    content: Document = {}
    if endpoint.body:
        content[JSON] = {"schema": references[endpoint.body, "validation"]}
        # {% if serving %}
        for media_type in endpoint.body_types:
            content[media_type] = {"schema": {"type": "string", "contentMediaType": media_type}}
        # {% endif %}
    # {% if storage or "deepface" in components %}
    if endpoint.files:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        properties = dict.fromkeys(endpoint.files, file)
        form = {"type": "object", "required": endpoint.files, "properties": properties}
        content["multipart/form-data"] = {"schema": form}
    # {% endif %}
    return content


def success(endpoint: Endpoint, references: References) -> Document:
    response: Document = {"description": HTTPStatus(endpoint.status).phrase}
    # {% if storage or llm %}
    content: Document = {name: {"schema": {"type": "string"}} for name in endpoint.media_types}
    if endpoint.returns:
        content[JSON] = {"schema": references[endpoint.returns, "serialization"]}
    if endpoint.returns or JSON not in content:
        response["content"] = content
    # {% else %}
    if endpoint.returns:
        response["content"] = {JSON: {"schema": references[endpoint.returns, "serialization"]}}
    # {% endif %}
    return response


def problem_response(description: str) -> Document:
    reference = {"$ref": REF.format(model="Problem")}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": reference}}}
