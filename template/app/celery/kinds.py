"""Kinds of jobs. A component registers its own with a function that takes a model:

    @job("reports.monthly")
    def monthly(given: Month) -> dict[str, int]:
        for day in days(given):
            ...
            progress(day / 31)
        return {"rows": rows}

What it returns is the result, and must be JSON or a model. It must be idempotent: a job whose
worker was lost runs again. ``JobError`` ends it with an error that its owner reads. It is imported
in the ``__init__`` of its component.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import shared_task
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
# {% if database %}
from sqlalchemy.exc import OperationalError
# {% endif %}

from app.celery import runs
from app.celery.application import GRACE

F = TypeVar("F", bound=Callable[[Any], Any])

#: What may pass by itself, so that trying again is worth it.
TRANSIENT: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    RedisConnectionError,
    RedisTimeoutError,
    # {% if database %}
    OperationalError,
    # {% endif %}
)


@dataclass(frozen=True)
class Kind:
    """A registered kind; the Celery task of its name runs it."""

    name: str
    model: type[BaseModel]
    transient: tuple[type[Exception], ...]


KINDS: dict[str, Kind] = {}
STARTS: list[Callable[[], None]] = []


def at_start(load: Callable[[], None]) -> Callable[[], None]:
    """Have each process of a worker call ``load`` before its first job, in the app's context."""
    STARTS.append(load)
    return load


def job(
    name: str,
    *,
    retry_for: tuple[type[Exception], ...] = (),
    time_limit: float | None = None,
) -> Callable[[F], F]:
    """Register the kind ``name``.

    Args:
        retry_for: exceptions besides ``TRANSIENT`` after which it is tried again.
        time_limit: seconds after which it is stopped, in the place of ``JOB_TIME_LIMIT``.
    """

    def decorate(run: F) -> F:
        (given,) = inspect.signature(run, eval_str=True).parameters.values()
        model: type[BaseModel] = given.annotation
        transient = (*TRANSIENT, *retry_for)

        @shared_task(  # type: ignore[untyped-decorator]
            name=name,
            bind=True,
            soft_time_limit=time_limit,
            time_limit=time_limit and time_limit + GRACE,
            autoretry_for=transient,
            max_retries=3,
            retry_backoff=1,  # seconds, doubled each time
            retry_backoff_max=60,
            retry_jitter=True,
        )
        def task(self: Any, given: str) -> Any:
            return runs.perform(self, lambda: run(model.model_validate_json(given)))

        KINDS[name] = Kind(name, model, transient)
        return run

    return decorate
