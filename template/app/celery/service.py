"""Jobs: how they are submitted, read and cancelled."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from celery import states
# {% if "jwt" in components %}
from flask_jwt_extended import current_user
# {% endif %}
from pydantic import ValidationError
from pydantic_core import to_json
from structlog.contextvars import get_contextvars
from werkzeug.exceptions import NotFound

from app.api import field_errors
from app.celery import queue, records
from app.celery.application import get_celery
from app.celery.kinds import KINDS
from app.celery.metrics import SUBMITTED
from app.celery.records import Record
# {% if "socketio" in components %}
from app.celery.runs import JobError, changed
# {% else %}
from app.celery.runs import JobError
# {% endif %}
from app.celery.schemas import FailedJob, Failure, Job, JobAccepted, JobIn, SucceededJob
from app.errors import Invalid, field_error

#: Exceptions that end a job from outside, and what its owner reads.
ENDED = {
    "SoftTimeLimitExceeded": Failure(kind="time_limit", detail="The job took too long."),
    "TimeLimitExceeded": Failure(kind="time_limit", detail="The job took too long."),
    "WorkerLostError": Failure(kind="worker_lost", detail="The job's worker was lost."),
}
UNAVAILABLE = Failure(
    kind="unavailable", detail="Something that the job depends on did not answer. Submit it again."
)
INTERNAL = Failure(
    kind="internal", detail="Something went wrong on our side. The job's id finds it in our logs."
)


def submit(job: JobIn) -> JobAccepted:
    """Have a worker do it.

    Raises:
        app.errors.Invalid: there is no such kind, or it does not take that input.
    """
    kind = KINDS.get(job.kind)
    if kind is None:
        raise Invalid([field_error("kind", f"There are: {', '.join(sorted(KINDS))}.")])
    text = to_json(job.input)
    try:
        kind.model.model_validate_json(text)
    except ValidationError as error:
        raise Invalid([inside_input(fault) for fault in field_errors(error, "")]) from None
    job_id, celery_app = str(uuid4()), get_celery()
    request_id = get_contextvars().get("request_id", "")
    queue.send(celery_app, job_id, Record(kind.name, owner(), request_id), text.decode())
    SUBMITTED.labels(kind.name).inc()
    # {% if "socketio" in components and "jwt" in components %}
    changed(job_id)
    # {% endif %}
    return JobAccepted(id=job_id, kind=kind.name, state=states.PENDING)


def inside_input(fault: dict[str, str]) -> dict[str, str]:
    return field_error(f"input.{fault['field']}".rstrip("."), fault["detail"])


def owner() -> str:
    """Who submits, and who alone may read it then."""
    # {% if "jwt" in components %}
    return str(current_user.id)
    # {% else %}
    return ""
    # {% endif %}


def find(job_id: UUID) -> Record:
    """The record of one's own job.

    Raises:
        werkzeug.exceptions.NotFound: there is none, or none any more.
    """
    record = records.read(get_celery().backend, str(job_id))
    if record is None or record.owner != owner():
        raise NotFound("There is no such job, or its result has expired.")
    return record


def get(job_id: UUID) -> Job:
    return describe(str(job_id), find(job_id))


def cancel(job_id: UUID) -> Job:
    """Stop a job, if it has not ended yet; the record tells workers that come later."""
    record = find(job_id)
    job = describe(str(job_id), record)
    if job.state in states.READY_STATES:
        return job
    record = replace(record, cancelled=True)
    records.write(get_celery().backend, str(job_id), record)
    get_celery().control.revoke(str(job_id), terminate=True)
    # {% if "socketio" in components %}
    changed(str(job_id))
    # {% endif %}
    return describe(str(job_id), record)


def describe(job_id: str, record: Record) -> Job:
    meta: dict[str, Any] = get_celery().backend.get_task_meta(job_id, cache=False)
    state, result = meta["status"], meta["result"]
    if record.cancelled:
        state = states.REVOKED
    if state == states.SUCCESS:
        return SucceededJob(id=job_id, kind=record.kind, state=state, progress=1, result=result)
    if state == states.FAILURE:
        error = failure(record.kind, result)
        return FailedJob(id=job_id, kind=record.kind, state=state, progress=0, error=error)
    progress = result["progress"] if state == states.STARTED else 0
    return Job(id=job_id, kind=record.kind, state=state, progress=progress)


def failure(kind: str, error: BaseException) -> Failure:
    """What the owner of a job may know of the exception that ended it."""
    if isinstance(error, JobError):
        return Failure(kind=error.kind, detail=error.detail)
    if kind in KINDS and isinstance(error, KINDS[kind].transient):
        return UNAVAILABLE
    return ENDED.get(type(error).__name__, INTERNAL)


def ping() -> None:
    """Raise where the broker or the result store does not answer."""
    records.read(get_celery().backend, "")
    with get_celery().connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=1)
        connection.default_channel.close()
