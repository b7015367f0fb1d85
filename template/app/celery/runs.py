"""How a job runs in a worker, whatever its kind."""

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

#: Seconds between two entries of a job's progress.
PROGRESS_INTERVAL = 0.2

# {% if "socketio" in components %}
#: Called with the id of a job when its state or its progress has changed.
LISTENERS: list[Callable[[str], None]] = []

# {% endif %}
log = structlog.stdlib.get_logger(__name__)


class JobError(Exception):
    """A job cannot be done; its owner reads ``kind``, a word, and ``detail``, a sentence."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def progress(fraction: float) -> None:
    """Tell the owner of the running job how much of it is done, from 0 to 1."""
    if current_task and perf_counter() - current_task.request.progress_told >= PROGRESS_INTERVAL:
        tell(current_task, fraction)


def tell(task: Any, fraction: float) -> None:
    task.request.progress_told = perf_counter()
    meta = {"progress": fraction, "deliveries": task.request.deliveries}
    task.update_state(state=states.STARTED, meta=meta)
    # {% if "socketio" in components %}
    changed(task.request.id)


def changed(job_id: str) -> None:
    """Tell those who listen. A job does not fail because they do."""
    for listener in LISTENERS:
        try:
            listener(job_id)
        except Exception:
            log.exception("nobody was told of a change")
    # {% endif %}


def perform(task: Any, run: Callable[[], Any]) -> Any:
    """Run a job once: not if it has ended, was cancelled or took its worker along too often.

    Raises:
        celery.exceptions.Ignore: there is nothing to do.
    """
    request, backend = task.request, task.backend
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=request.id, kind=task.name)
    record = records.read(backend, request.id)
    meta = backend.get_task_meta(request.id, cache=False)
    if record is None or record.cancelled or meta["status"] in states.READY_STATES:
        log.info("job dropped", state=meta["status"], known=record is not None)
        raise Ignore
    structlog.contextvars.bind_contextvars(request_id=record.request_id)
    request.deliveries = deliveries_before(meta) + 1
    if request.deliveries > current_app.config["JOB_MAX_DELIVERIES"]:
        raise JobError("worker_lost", "The job ended its worker each time that it ran.")
    tell(task, 0.0)
    started, outcome = perf_counter(), "failed"
    try:
        result = run()
        if isinstance(result, BaseModel):
            result = result.model_dump(mode="json")
        to_json(result)  # a result that no client could be given, such as broken text, fails here
        outcome = "succeeded"
    except MemoryError:  # Celery would end the whole worker
        raise JobError("memory", "The job takes more memory than there is.") from None
    finally:
        seconds = perf_counter() - started
        DURATION.labels(task.name).observe(seconds)
        attempt, milliseconds = request.retries + 1, round(seconds * 1000, 2)
        log.info(f"job {outcome}", attempt=attempt, duration_ms=milliseconds)
    return result


def deliveries_before(meta: dict[str, Any]) -> int:
    """How often a job began without coming to any end."""
    started = meta["status"] == states.STARTED and isinstance(meta["result"], dict)
    return int(meta["result"]["deliveries"]) if started else 0
