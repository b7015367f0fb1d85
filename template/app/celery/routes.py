"""``/api/v1/jobs``."""

from time import monotonic
from uuid import UUID

import structlog
from celery.exceptions import BackendError
from flask import Blueprint, Response, current_app, url_for
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.api import PREFIX, endpoint
from app.celery import service
from app.celery.schemas import Job, JobAccepted, JobIn, JobOut
from app.errors import unavailable

#: Seconds for which nobody tries again what has just failed.
PAUSE = 1.0

blueprint = Blueprint("jobs", __name__, url_prefix=f"{PREFIX}/jobs")

log = structlog.stdlib.get_logger(__name__)


@blueprint.before_request
def turn_away() -> Response | None:
    """Right after a failure, have nobody else wait for the same time-out in all threads."""
    failed: float = current_app.extensions["jobs_failed"]
    return sorry() if monotonic() - failed < PAUSE else None


@blueprint.errorhandler(BackendError)
@blueprint.errorhandler(OperationalError)
@blueprint.errorhandler(OSError)
@blueprint.errorhandler(RedisError)
def handle_queue_down(error: Exception) -> Response:
    log.error("the broker or the result store does not answer", error=repr(error))
    current_app.extensions["jobs_failed"] = monotonic()
    return sorry()


def sorry() -> Response:
    return unavailable("Jobs cannot be taken or looked up right now. Try again soon.")


@blueprint.post("")
@endpoint(returns=JobAccepted, status=202, errors=(503,))
def submit_job(body: JobIn) -> tuple[JobAccepted, dict[str, str]]:
    """Have a job done in the background; ``Location`` tells how far it is."""
    job = service.submit(body)
    return job, {"Location": url_for("jobs.get_job", job_id=job.id)}


@blueprint.get("/<uuid:job_id>")
@endpoint(returns=JobOut, errors=(503,))
def get_job(job_id: UUID) -> Job:
    """A job's state, and its result or error where it has ended."""
    return service.get(job_id)


@blueprint.delete("/<uuid:job_id>")
@endpoint(returns=JobOut, errors=(503,))
def cancel_job(job_id: UUID) -> Job:
    """Cancel a job, also one that runs.

    One that has ended already stays as it is.
    """
    return service.cancel(job_id)
