"""Chat through the OpenAI API. ``import openai`` is the library here, too."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from app.llm.service import add_provider
from app.openai.completions import CompletionsProvider
from app.openai.provider import OpenAIProvider
from app.openai.routes import blueprint


def init_app(app: Flask) -> None:
    add_provider(app, make_provider(app.config))
    app.register_blueprint(blueprint)


def make_provider(config: Mapping[str, Any]) -> OpenAIProvider:
    """Return a provider for the API that ``OPENAI_API`` names."""
    return CompletionsProvider(config) if config["OPENAI_API"] == "chat" else OpenAIProvider(config)
