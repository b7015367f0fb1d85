"""The OpenAI API through its client, which is imported at the first request."""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from app.llm.errors import ProviderError
from app.llm.schemas import Prompt
from app.llm.service import Events
from app.openai.completions import Completions
from app.openai.errors import explain
from app.openai.responses import Responses

NOT_CONFIGURED = (
    "OpenAI is not configured. Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server without keys."
)


class OpenAIProvider:
    """The model ``OPENAI_MODEL``, at OpenAI or at any compatible server."""

    name = "openai"
    explain = staticmethod(explain)

    def __init__(self, config: Mapping[str, Any]) -> None:
        logging.getLogger("openai").setLevel(logging.INFO)  # it logs prompts at DEBUG
        self.config = config
        self.model: str = config["OPENAI_MODEL"]
        self.api: Responses | Completions = (
            Responses() if config["OPENAI_API"] == "responses" else Completions()
        )
        self.has_stop_sequences = self.api.has_stop_sequences

    @cached_property
    def client(self) -> Any:
        key, url = self.config["OPENAI_API_KEY"], self.config["OPENAI_BASE_URL"]
        if not (key or url):
            raise ProviderError("not_configured", NOT_CONFIGURED)
        import openai

        return openai.OpenAI(
            api_key=key or "unused",
            base_url=url,
            timeout=openai.Timeout(
                self.config["LLM_READ_TIMEOUT"], connect=self.config["LLM_CONNECT_TIMEOUT"]
            ),
            max_retries=self.config["LLM_MAX_ATTEMPTS"] - 1,
        )

    def ask(self, prompt: Prompt, schema: type[BaseModel] | None, stream: bool) -> Events:
        shape: dict[str, Any] | None = None
        if schema:
            shape = {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True}
        options = {
            "model": self.model,
            "stream": stream,
            "temperature": prompt.temperature,
            **self.api.options(prompt, shape, stream),
        }
        parameters = {name: value for name, value in options.items() if value is not None}
        response = self.api.resource(self.client).create(**parameters)
        if stream:
            with response:
                yield from self.api.read_stream(response)
        else:
            yield self.api.read(response)
