"""Prometheus metrics of jobs."""

from typing import Any

from celery import signals, states
from prometheus_client import Counter, Histogram

SUBMITTED = Counter("jobs_submitted_total", "Jobs submitted.", ["kind"])
FINISHED = Counter("jobs_finished_total", "Jobs finished.", ["kind", "state"])
DURATION = Histogram("job_duration_seconds", "Run time of jobs.", ["kind"])


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def count_finished(sender: Any, state: str | None, **_: object) -> None:
    if state in states.READY_STATES:
        FINISHED.labels(sender.name, state).inc()


@signals.task_revoked.connect  # type: ignore[untyped-decorator]
def count_revoked(sender: Any, **_: object) -> None:
    FINISHED.labels(sender.name, states.REVOKED).inc()
