"""Requests and responses of ``/api/v1/jobs``."""

from typing import Any

from pydantic import Field, JsonValue, RootModel

from app.api import Schema


class JobIn(Schema):
    """A job to run: its kind, and the input of that kind."""

    kind: str
    input: dict[str, JsonValue]


class JobAccepted(Schema):
    """A job that waits for a worker."""

    id: str
    kind: str
    state: str


class Job(JobAccepted):
    """A job. ``state`` is one of Celery's states; ``progress`` goes from 0 to 1."""

    progress: float = Field(ge=0, le=1)


class SucceededJob(Job):
    """A job that succeeded."""

    result: Any


class Failure(Schema):
    """Why a job failed: a code for programs, and a sentence for people."""

    kind: str
    detail: str


class FailedJob(Job):
    """A job that failed."""

    error: Failure


class JobOut(RootModel[SucceededJob | FailedJob | Job]):
    """A job, with its result or error once it has ended."""
