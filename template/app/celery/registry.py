"""The registry of job kinds. A component registers a function that accepts a model:

    @job("reports.monthly")
    def monthly(body: Month) -> dict[str, int]:
        for day in days(body):
            ...
            progress(day / 31)
        return {"rows": rows}

It returns JSON or a model, and raises ``JobError`` for an error that the client should read. It has
to be idempotent, because a job whose worker dies runs again. Import its module in the
``__init__.py`` of the component.
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

from app.celery import execution

F = TypeVar("F", bound=Callable[[Any], Any])

#: Errors that may go away, so that a job is retried.
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
    """A kind of job; the Celery task of the same name runs it."""

    model: type[BaseModel]
    transient: tuple[type[Exception], ...]


REGISTRY: dict[str, Kind] = {}


def job(
    name: str, *, retry_for: tuple[type[Exception], ...] = (), **options: Any
) -> Callable[[F], F]:
    """Register a function as the job ``name``.

    Args:
        retry_for: exceptions to retry after, in addition to ``TRANSIENT``.
        options: Celery's task options. A time limit must not exceed ``JOB_TIME_LIMIT``.
    """

    def decorate(function: F) -> F:
        (parameter,) = inspect.signature(function, eval_str=True).parameters.values()
        model: type[BaseModel] = parameter.annotation
        transient = (*TRANSIENT, *retry_for)

        @shared_task(  # type: ignore[untyped-decorator]
            name=name,
            bind=True,
            autoretry_for=transient,
            max_retries=3,
            retry_backoff=1,  # seconds, doubled each time
            retry_jitter=True,
            **options,
        )
        def task(self: Any, body: str) -> Any:
            return execution.execute(self, lambda: function(model.model_validate_json(body)))

        REGISTRY[name] = Kind(model, transient)
        return function

    return decorate
