"""Chat through Amazon Bedrock."""

from flask import Flask

from app.bedrock.provider import BedrockProvider
from app.bedrock.routes import blueprint
from app.llm import add_provider


def init_app(app: Flask) -> None:
    add_provider(app, BedrockProvider(app.config))
    app.register_blueprint(blueprint)
