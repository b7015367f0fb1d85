"""Requests and responses of language models, the same for every provider."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.api import Schema

PromptText = Annotated[str, Field(min_length=1, max_length=1_000_000, pattern=r"\S")]
StopSequence = Annotated[str, Field(min_length=1, max_length=100)]
StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "refusal", "content_filter", "other"
]


class Message(Schema):
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    content: PromptText


class Prompt(Schema):
    """A ``message``, or a conversation in ``messages`` that begins and ends with the user.

    ``max_tokens`` defaults to ``LLM_MAX_TOKENS``, which is also its maximum.
    """

    message: PromptText | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)] | None = None
    system: PromptText | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    stop_sequences: list[StopSequence] = Field(default_factory=list, max_length=4)

    @model_validator(mode="after")
    def check_messages(self) -> "Prompt":
        if (self.message is None) == (self.messages is None):
            raise ValueError("Send either message or messages.")
        if self.messages and {self.messages[0].role, self.messages[-1].role} != {"user"}:
            raise ValueError("The first and the last message must have the role user.")
        return self

    def history(self) -> list[Message]:
        """Return the conversation, oldest turn first."""
        return self.messages or [Message(role="user", content=self.message or "")]


class Chat(Prompt):
    """A prompt. With ``stream``, the answer comes as server-sent events."""

    stream: bool = False


class Usage(Schema):
    """Number of tokens, as counted by the provider."""

    input_tokens: int = 0
    output_tokens: int = 0


class Result(Schema):
    """Why the model stopped. ``refusal`` and ``content_filter`` are answers, not errors."""

    model: str
    stop_reason: StopReason
    usage: Usage


class Answer(Result):
    """The model's reply, which may be empty after a content filter."""

    reply: str
