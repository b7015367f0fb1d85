"""The Chat Completions API, the only one that many compatible servers have."""

from collections.abc import Iterable
from typing import Any

from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events
from app.openai.provider import OpenAIProvider

#: Finish reason → stop reason.
STOP_REASONS: dict[str, StopReason] = {
    "content_filter": "content_filter",
    "length": "max_tokens",
    "refusal": "refusal",
    "stop": "end_turn",
}


class CompletionsProvider(OpenAIProvider):
    """The model ``OPENAI_MODEL`` over the Chat Completions API."""

    has_stop_sequences = True

    def create(self, **parameters: Any) -> Any:
        return self.client.chat.completions.create(**parameters)

    def options(self, prompt: Prompt, shape: dict[str, Any] | None, stream: bool) -> dict[str, Any]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return {
            "messages": [*system, *(message.model_dump() for message in prompt.history())],
            "max_tokens": prompt.max_tokens,
            "stop": prompt.stop_sequences or None,
            "response_format": shape and {"type": "json_schema", "json_schema": shape},
            "stream_options": {"include_usage": True} if stream else None,
        }

    def read(self, completion: Any) -> Answer:
        choice = completion.choices[0]
        message = choice.message
        stop = "refusal" if message.refusal else choice.finish_reason
        return make_answer(completion, message.content or message.refusal or "", stop)

    def read_stream(self, chunks: Iterable[Any]) -> Events:
        pieces: list[str] = []
        stop, last = None, None
        for last in chunks:
            for choice in last.choices:
                if piece := choice.delta.content or choice.delta.refusal:
                    pieces.append(piece)
                    yield piece
                if stop != "refusal":
                    stop = "refusal" if choice.delta.refusal else choice.finish_reason or stop
        if stop:
            yield make_answer(last, "".join(pieces), stop)


def make_answer(completion: Any, reply: str, stop: str) -> Answer:
    """``completion`` may be the last chunk of a stream; if any chunk has the usage, that has."""
    usage = completion.usage
    return Answer(
        model=completion.model,
        stop_reason=STOP_REASONS.get(stop, "other"),
        usage=Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
        if usage
        else Usage(),
        reply=reply,
    )
