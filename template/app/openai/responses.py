"""The Responses API."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from app.llm.errors import ProviderError
from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events
from app.openai.errors import from_code

STOP_REASONS: dict[str, StopReason] = {
    "content_filter": "content_filter",
    "max_output_tokens": "max_tokens",
}


class Responses:
    """Sends requests to the Responses API, which has no stop sequences, and reads its answers."""

    has_stop_sequences = False

    def create(
        self, client: Any, prompt: Prompt, schema: type[BaseModel] | None, **options: Any
    ) -> Any:
        if prompt.system:
            options["instructions"] = prompt.system
        if prompt.temperature is not None:
            options["temperature"] = prompt.temperature
        if schema:
            shape = {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True}
            options["text"] = {"format": {"type": "json_schema", **shape}}
        return client.responses.create(
            input=[message.model_dump() for message in prompt.history()],
            max_output_tokens=prompt.max_tokens,
            store=False,
            **options,
        )

    def read(self, response: Any) -> Answer:
        if response.status == "failed":
            raise from_code(response.error.code)
        messages = [item for item in response.output if item.type == "message"]
        contents = [content for message in messages for content in message.content]
        refusal = "".join(content.refusal for content in contents if content.type == "refusal")
        stop: StopReason = "refusal" if refusal else "end_turn"
        if response.status == "incomplete":
            stop = STOP_REASONS.get(response.incomplete_details.reason, "other")
        return Answer(
            model=response.model,
            stop_reason=stop,
            usage=Usage(
                input_tokens=response.usage.input_tokens,
                output_tokens=response.usage.output_tokens,
            ),
            reply=response.output_text or refusal,
        )

    def read_stream(self, events: Iterable[Any]) -> Events:
        for event in events:
            match event.type:
                case "response.output_text.delta" | "response.refusal.delta":
                    yield event.delta
                case "response.completed" | "response.incomplete" | "response.failed":
                    yield self.read(event.response)
                    return
                case "error":
                    raise from_code(event.code)
        raise ProviderError("unavailable")  # the stream broke off
