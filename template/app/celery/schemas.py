"""What clients send to have a job done, and what they read of it."""

from typing import Any

from pydantic import Field, JsonValue, RootModel

from app.api import Schema


class JobIn(Schema):
    """A job: its kind, and what that kind takes."""

    kind: str
    input: dict[str, JsonValue]


class JobAccepted(Schema):
    """A job that waits for a worker."""

    id: str
    kind: str
    state: str


class Job(JobAccepted):
    """A job; ``state`` is one of Celery's names, ``progress`` goes from 0 to 1."""

    progress: float = Field(ge=0, le=1)


class SucceededJob(Job):
    """A job that has ended well."""

    result: Any


class Failure(Schema):
    """Why a job failed: a word to decide by, and a sentence to read."""

    kind: str
    detail: str


class FailedJob(Job):
    """A job that has failed."""

    error: Failure


class JobOut(RootModel[SucceededJob | FailedJob | Job]):
    """A job, with its result or its error where it has ended."""
