"""What is counted of jobs."""

from typing import Any

from celery import signals, states
from prometheus_client import Counter, Histogram

SUBMITTED = Counter("jobs_submitted_total", "Jobs accepted.", ["kind"])
FINISHED = Counter("jobs_finished_total", "Jobs that have ended.", ["kind", "state"])
DURATION = Histogram("job_duration_seconds", "Time that a job ran.", ["kind"])


@signals.task_success.connect  # type: ignore[untyped-decorator]
def count_success(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.SUCCESS).inc()


@signals.task_failure.connect  # type: ignore[untyped-decorator]
def count_failure(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.FAILURE).inc()


@signals.task_revoked.connect  # type: ignore[untyped-decorator]
def count_revoked(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.REVOKED).inc()
