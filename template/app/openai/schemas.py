"""Structured output: what is extracted from a text."""

from app.api import Schema
from app.llm.schemas import PromptText, Result


class Extract(Schema):
    """A text that announces an event."""

    text: PromptText


class Event(Schema):
    """An event. Every field is required, as OpenAI's strict mode wants it."""

    title: str
    date: str | None
    participants: list[str]


class Extraction(Result):
    """What a text says about an event."""

    event: Event | None
