"""Submit, read and cancel jobs."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from celery import states
from pydantic import ValidationError
from pydantic_core import to_json
from structlog.contextvars import get_contextvars
from werkzeug.exceptions import NotFound

from app.api import field_errors
from app.celery import records
from app.celery.application import get_celery
# {% if "socketio" in components %}
from app.celery.execution import JobError, notify
# {% else %}
from app.celery.execution import JobError
# {% endif %}
from app.celery.metrics import SUBMITTED
from app.celery.records import Record
from app.celery.registry import REGISTRY
from app.celery.schemas import FailedJob, Failure, Job, JobAccepted, JobIn, SucceededJob
from app.errors import Invalid, field_error
# {% if "jwt" in components %}
from app.jwt.permissions import may_access, owner_id
# {% endif %}

#: Seconds to wait until RabbitMQ confirms a message.
CONFIRM_TIMEOUT = 0.75

TIMED_OUT = Failure(kind="time_limit", detail="The job took too long.")
#: Exceptions that end a job from outside, by name, and what clients read.
FAILURES = {
    "SoftTimeLimitExceeded": TIMED_OUT,
    "TimeLimitExceeded": TIMED_OUT,
    "WorkerLostError": Failure(kind="worker_lost", detail="The job's worker died."),
}
UNAVAILABLE = Failure(
    kind="unavailable", detail="A service that the job depends on is unavailable. Try again later."
)
INTERNAL = Failure(kind="internal", detail="Internal error. The logs have it under the job's id.")


def submit(job: JobIn) -> JobAccepted:
    """Queue a job.

    Raises:
        app.errors.Invalid: the kind is unknown, or the input does not validate.
    """
    kind = REGISTRY.get(job.kind)
    if kind is None:
        raise Invalid([field_error("kind", f"Must be one of: {', '.join(sorted(REGISTRY))}.")])
    body = to_json(job.input)
    try:
        kind.model.model_validate_json(body)
    except ValidationError as error:
        raise Invalid([inside_input(fault) for fault in field_errors(error, "")]) from None
    job_id, celery_app = str(uuid4()), get_celery()
    # {% if "jwt" in components %}
    owner = str(owner_id())
    # {% else %}
    owner = ""
    # {% endif %}
    record = Record(job.kind, owner, get_contextvars().get("request_id", ""))
    records.write(celery_app.backend, job_id, record)
    celery_app.tasks[job.kind].apply_async(
        (body.decode(),), task_id=job_id, argsrepr="…", confirm_timeout=CONFIRM_TIMEOUT
    )
    SUBMITTED.labels(job.kind).inc()
    # {% if "socketio" in components and "jwt" in components %}
    notify(job_id)
    # {% endif %}
    return JobAccepted(id=job_id, kind=job.kind, state=states.PENDING)


def inside_input(fault: dict[str, str]) -> dict[str, str]:
    return field_error(f"input.{fault['field']}".rstrip("."), fault["detail"])


def find(job_id: UUID) -> Record:
    """Return the record of a job that belongs to whoever asks.

    Raises:
        werkzeug.exceptions.NotFound: there is no such job, or it belongs to another account.
    """
    record = records.read(get_celery().backend, str(job_id))
    # {% if "jwt" in components %}
    if record is None or not may_access(int(record.owner)):
        raise NotFound("No such job, or its result has expired.")
    # {% else %}
    if record is None:
        raise NotFound("No such job, or its result has expired.")
    # {% endif %}
    return record


def get(job_id: UUID) -> Job:
    return describe(str(job_id), find(job_id))


def cancel(job_id: UUID) -> Job:
    """Cancel a job that has not ended. Its record stops workers that receive it later."""
    record, celery_app = find(job_id), get_celery()
    job = describe(str(job_id), record)
    if job.state in states.READY_STATES:
        return job
    record = replace(record, cancelled=True)
    records.write(celery_app.backend, str(job_id), record)
    celery_app.control.revoke(str(job_id), terminate=True)
    # {% if "socketio" in components %}
    notify(str(job_id))
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
    """What a client may know about the exception that ended a job."""
    if isinstance(error, JobError):
        return Failure(kind=error.kind, detail=error.detail)
    if kind in REGISTRY and isinstance(error, REGISTRY[kind].transient):
        return UNAVAILABLE
    return FAILURES.get(type(error).__name__, INTERNAL)


def ping() -> None:
    """Raise if the broker or the result store is unavailable."""
    records.read(get_celery().backend, "")
    with get_celery().connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=1)
        connection.default_channel.close()
