"""Chat through the OpenAI API. ``import openai`` is the library here, too."""

from flask import Flask

from app.llm.service import add_provider
from app.openai.provider import OpenAIProvider
from app.openai.routes import blueprint


def init_app(app: Flask) -> None:
    add_provider(app, OpenAIProvider(app.config))
    app.register_blueprint(blueprint)
