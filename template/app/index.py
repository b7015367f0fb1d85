"""``GET /``: a greeting that links to the documentation."""

from flask import Blueprint, Flask, current_app

from app.api import Schema, endpoint

blueprint = Blueprint("index", __name__)


class Hello(Schema):
    """The greeting."""

    message: str
    status: str
    service: str
    docs: str


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


@blueprint.get("/")
@endpoint(returns=Hello)
def hello() -> Hello:
    """Say hello and link to the documentation."""
    return Hello(
        message="hello from flask",
        status="ok",
        service=current_app.config["SERVICE_NAME"],
        docs="/docs",
    )
