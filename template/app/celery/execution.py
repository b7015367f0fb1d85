"""How a worker runs a job, of whatever kind."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import structlog
from celery import current_task, states
from celery.exceptions import Ignore
from flask import current_app
from pydantic import BaseModel
from pydantic_core import to_json

from app.celery import records
from app.celery.metrics import DURATION

#: Seconds between two updates of a job's progress.
PROGRESS_INTERVAL = 0.2

# {% if "socketio" in components %}
#: Functions to call with the id of a job when its state or progress changes.
LISTENERS: list[Callable[[str], None]] = []

# {% endif %}
log = structlog.stdlib.get_logger(__name__)


class JobError(Exception):
    """The job failed for a reason that its client should read: a ``kind`` and a ``detail``."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def progress(fraction: float) -> None:
    """Report the progress of the running job, from 0 to 1. Outside of a job it does nothing."""
    if current_task and perf_counter() - current_task.request.reported >= PROGRESS_INTERVAL:
        report(current_task, fraction)


def report(task: Any, fraction: float) -> None:
    task.request.reported = perf_counter()
    meta = {"progress": fraction, "deliveries": task.request.deliveries}
    task.update_state(state=states.STARTED, meta=meta)
    # {% if "socketio" in components %}
    notify(task.request.id)


def notify(job_id: str) -> None:
    """Call the listeners. Their errors are logged, and do not fail the job."""
    for listener in LISTENERS:
        try:
            listener(job_id)
        except Exception:
            log.exception("job listener failed")
    # {% endif %}


def execute(task: Any, function: Callable[[], Any]) -> Any:
    """Run a job, unless it has ended, was cancelled, or was interrupted too often.

    Raises:
        celery.exceptions.Ignore: there is nothing to do.
    """
    request, backend = task.request, task.backend
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=request.id, kind=task.name)
    record = records.read(backend, request.id)
    meta = backend.get_task_meta(request.id, cache=False)
    if record is None or record.cancelled or meta["status"] in states.READY_STATES:
        log.info("job skipped", state=meta["status"], expired=record is None)
        raise Ignore
    structlog.contextvars.bind_contextvars(request_id=record.request_id)
    # A job that is STARTED already was interrupted: its worker died or was stopped.
    interrupted = meta["status"] == states.STARTED
    request.deliveries = meta["result"]["deliveries"] + 1 if interrupted else 1
    if request.deliveries > current_app.config["JOB_MAX_DELIVERIES"]:
        raise JobError("worker_lost", "The job was interrupted each time it ran.")
    report(task, 0.0)
    started, outcome = perf_counter(), "interrupted"
    try:
        result = function()
        if isinstance(result, BaseModel):
            result = result.model_dump(mode="json")
        to_json(result)  # fail here, rather than in each response, if it is not JSON
        outcome = "succeeded"
    except MemoryError:  # would end the whole worker
        outcome = "failed"
        raise JobError("memory", "The job ran out of memory.") from None
    except Exception:
        outcome = "failed"
        raise
    finally:
        seconds = perf_counter() - started
        DURATION.labels(task.name).observe(seconds)
        attempt, milliseconds = request.retries + 1, round(seconds * 1000, 2)
        log.info(f"job {outcome}", attempt=attempt, duration_ms=milliseconds)
    return result
