"""Structured output: the event that is extracted from a text."""

from app.api import Schema
from app.llm.schemas import PromptText, Result


class Extract(Schema):
    """A text that announces an event."""

    text: PromptText


class Event(Schema):
    """An event. OpenAI's strict mode demands that every field is required."""

    title: str
    date: str | None
    participants: list[str]


class Extraction(Result):
    """The event that a text announces."""

    event: Event | None
