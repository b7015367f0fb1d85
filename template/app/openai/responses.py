"""The Responses API."""

from collections.abc import Iterable
from typing import Any

from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events
from app.openai.errors import from_code

#: Why a response is incomplete → stop reason.
STOP_REASONS: dict[str, StopReason] = {
    "content_filter": "content_filter",
    "max_output_tokens": "max_tokens",
}


class Responses:
    """Parameters and answers of the Responses API, which has no stop sequences."""

    has_stop_sequences = False

    def resource(self, client: Any) -> Any:
        return client.responses

    def options(self, prompt: Prompt, shape: dict[str, Any] | None, stream: bool) -> dict[str, Any]:
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
            stop = STOP_REASONS.get(response.incomplete_details.reason, "other")
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
