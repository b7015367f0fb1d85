"""What is known about a job besides its result. It is kept in the result store, like a result."""

from dataclasses import dataclass
from typing import Any

RECORDED = "RECORDED"


@dataclass(frozen=True)
class Record:
    """A submitted job. ``owner`` is the id of an account, or empty in a service without them."""

    kind: str
    owner: str
    request_id: str
    cancelled: bool = False


def key_of(job_id: str) -> str:
    return f"job-{job_id}"


def write(backend: Any, job_id: str, record: Record) -> None:
    backend.store_result(key_of(job_id), vars(record), RECORDED)


def read(backend: Any, job_id: str) -> Record | None:
    """Return the record of a job, or None if the job is unknown or has expired."""
    meta = backend.get_task_meta(key_of(job_id), cache=False)
    return Record(**meta["result"]) if meta["status"] == RECORDED else None
