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

#: Seconds for which requests fail fast after the broker or the result store failed.
FAIL_FAST = 1.0

blueprint = Blueprint("jobs", __name__, url_prefix=f"{PREFIX}/jobs")

log = structlog.stdlib.get_logger(__name__)


@blueprint.before_request
def fail_fast() -> Response | None:
    """Keep requests from waiting for the same timeout in every thread."""
    failed_at = current_app.extensions.get("jobs_failed_at", 0.0)
    return jobs_unavailable() if monotonic() - failed_at < FAIL_FAST else None


@blueprint.errorhandler(BackendError)
@blueprint.errorhandler(OperationalError)
@blueprint.errorhandler(OSError)
@blueprint.errorhandler(RedisError)
def handle_outage(error: Exception) -> Response:
    log.error("broker or result store unavailable", error=repr(error))
    current_app.extensions["jobs_failed_at"] = monotonic()
    return jobs_unavailable()


def jobs_unavailable() -> Response:
    return unavailable("Jobs are temporarily unavailable. Try again later.")


@blueprint.post("")
@endpoint(returns=JobAccepted, status=202, errors=(503,))
def submit_job(body: JobIn) -> tuple[JobAccepted, dict[str, str]]:
    """Submit a background job. Poll the URL in the Location header for its status."""
    job = service.submit(body)
    return job, {"Location": url_for("jobs.get_job", job_id=job.id)}


@blueprint.get("/<uuid:job_id>")
@endpoint(returns=JobOut, errors=(503,))
def get_job(job_id: UUID) -> Job:
    """Get the status of a job, and its result or error once it has ended."""
    return service.get(job_id)


@blueprint.delete("/<uuid:job_id>")
@endpoint(returns=JobOut, errors=(503,))
def cancel_job(job_id: UUID) -> Job:
    """Cancel a job, even while it runs. A job that has ended is left unchanged."""
    return service.cancel(job_id)
