"""Chat through Amazon Bedrock."""

from flask import Flask

from app.bedrock.provider import BedrockProvider
from app.llm.service import add_provider
from app.llm.views import chat_blueprint


def init_app(app: Flask) -> None:
    add_provider(app, BedrockProvider(app.config))
    app.register_blueprint(chat_blueprint("bedrock"))
