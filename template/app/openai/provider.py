"""The OpenAI API through its client, which is imported at the first request."""

import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from app.llm.errors import ProviderError, from_status
from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events

NOT_CONFIGURED = (
    "OpenAI is not configured. Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server without keys."
)
#: Why a response is incomplete → stop reason.
INCOMPLETE: dict[str, StopReason] = {
    "content_filter": "content_filter",
    "max_output_tokens": "max_tokens",
}
#: Error codes of content filters.
FILTERED = {
    "bio_policy",
    "content_filter",
    "content_policy_violation",
    "misalignment_policy_violation",
}
#: Error codes within a stream, which come without an HTTP status. Any other is the server's fault.
STATUSES = {"context_length_exceeded": 400, "rate_limit_exceeded": 429}


class OpenAIProvider:
    """The model ``OPENAI_MODEL`` over the Responses API, which has no stop sequences."""

    name = "openai"
    has_stop_sequences = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        logging.getLogger("openai").setLevel(logging.INFO)  # it logs prompts at DEBUG
        self.config = config
        self.model: str = config["OPENAI_MODEL"]

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
            **self.options(prompt, shape, stream),
        }
        response = self.create(**{name: v for name, v in options.items() if v is not None})
        if stream:
            with response:
                yield from self.read_stream(response)
        else:
            yield self.read(response)

    def create(self, **parameters: Any) -> Any:
        return self.client.responses.create(**parameters)

    def options(self, prompt: Prompt, shape: dict[str, Any] | None, stream: bool) -> dict[str, Any]:
        """Return the parameters of ``create``; those that are ``None`` are not sent."""
        return {
            "input": [message.model_dump() for message in prompt.history()],
            "instructions": prompt.system,
            "max_output_tokens": prompt.max_tokens,
            "text": shape and {"format": {"type": "json_schema", **shape}},
            "store": False,
        }

    def read(self, response: Any) -> Answer:
        if response.status == "failed":
            raise from_code(response.error.code)
        messages = [item for item in response.output if item.type == "message"]
        contents = [content for message in messages for content in message.content]
        refusal = "".join(content.refusal for content in contents if content.type == "refusal")
        stop: StopReason = "refusal" if refusal else "end_turn"
        if response.status == "incomplete":
            stop = INCOMPLETE.get(response.incomplete_details.reason, "other")
        return Answer(
            model=response.model,
            stop_reason=stop,
            usage=Usage.model_validate(response.usage),
            reply=response.output_text or refusal,
        )

    def read_stream(self, events: Iterable[Any]) -> Events:
        for event in events:
            match event.type:
                case "response.output_text.delta" | "response.refusal.delta":
                    yield event.delta
                case "response.completed" | "response.incomplete" | "response.failed":
                    yield self.read(event.response)
                case "error":
                    raise from_code(event.code)

    def explain(self, error: Exception) -> ProviderError:
        import openai

        match error:
            case openai.APIStatusError() if error.code not in FILTERED:
                retry_after = error.response.headers.get("retry-after", "")
                return from_status(error.status_code, error.code or "", error.message, retry_after)
            case openai.APITimeoutError():
                return ProviderError("timeout")
            case openai.APIError():
                return from_code(error.code)
        return ProviderError("unavailable")


def from_code(code: str | None) -> ProviderError:
    """Return the error for a code that came without an HTTP status."""
    if code in FILTERED:
        return ProviderError("content_filter")
    return from_status(STATUSES.get(code or "", 503), code or "")
