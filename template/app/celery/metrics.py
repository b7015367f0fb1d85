"""What is counted of jobs."""

from collections import deque
from typing import Any

from celery import signals, states
from celery.exceptions import TimeLimitExceeded
from prometheus_client import Counter, Histogram

SUBMITTED = Counter("jobs_submitted_total", "Jobs accepted.", ["kind"])
FINISHED = Counter("jobs_finished_total", "Jobs that have ended.", ["kind", "state"])
DURATION = Histogram("job_duration_seconds", "Time that a job ran.", ["kind"])

#: Ids of jobs that were killed at their time limit: Celery tells of each twice, at once.
KILLED: deque[str] = deque(maxlen=100)


@signals.task_success.connect  # type: ignore[untyped-decorator]
def count_success(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.SUCCESS).inc()


@signals.task_failure.connect  # type: ignore[untyped-decorator]
def count_failure(sender: Any, task_id: str, exception: Exception, **_: object) -> None:
    if isinstance(exception, TimeLimitExceeded):
        if task_id in KILLED:
            return
        KILLED.append(task_id)
    FINISHED.labels(sender.name, states.FAILURE).inc()


@signals.task_revoked.connect  # type: ignore[untyped-decorator]
def count_revoked(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.REVOKED).inc()
