"""The Chat Completions API, the only one that many compatible servers have."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from app.llm.errors import ProviderError
from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events

STOP_REASONS: dict[str, StopReason] = {
    "content_filter": "content_filter",
    "length": "max_tokens",
    "refusal": "refusal",
    "stop": "end_turn",
}


class Completions:
    """Sends requests to the Chat Completions API and reads its answers."""

    has_stop_sequences = True

    def create(
        self, client: Any, prompt: Prompt, schema: type[BaseModel] | None, **options: Any
    ) -> Any:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        if prompt.temperature is not None:
            options["temperature"] = prompt.temperature
        if prompt.stop_sequences:
            options["stop"] = prompt.stop_sequences
        if schema:
            shape = {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": shape}
        if options["stream"]:
            options["stream_options"] = {"include_usage": True}
        return client.chat.completions.create(
            messages=[*system, *(message.model_dump() for message in prompt.history())],
            max_tokens=prompt.max_tokens,
            **options,
        )

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
        if stop is None:
            raise ProviderError("unavailable")  # the stream broke off
        yield make_answer(last, "".join(pieces), stop)


def make_answer(completion: Any, reply: str, stop: str) -> Answer:
    """``completion`` is the last chunk of a stream, too, which has the usage if any has."""
    usage = completion.usage
    return Answer(
        model=completion.model,
        stop_reason=STOP_REASONS.get(stop, "other"),
        usage=Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
        if usage
        else Usage(),
        reply=reply,
    )
