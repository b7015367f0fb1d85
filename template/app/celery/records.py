"""What is known of a job besides its result, kept in the result store from its submission on."""

from dataclasses import dataclass
from typing import Any

RECORDED = "RECORDED"


@dataclass(frozen=True)
class Record:
    """A job that was submitted. ``owner`` is an account's id where there are accounts."""

    kind: str
    owner: str
    request_id: str
    cancelled: bool = False


def key_of(job_id: str) -> str:
    """The id that the store keeps a job's record under, as if it were a result."""
    return f"job-{job_id}"


def write(backend: Any, job_id: str, record: Record) -> None:
    backend.store_result(key_of(job_id), vars(record), RECORDED)


def read(backend: Any, job_id: str) -> Record | None:
    """None where there is no such job, or where it was so long ago that it has expired."""
    meta = backend.get_task_meta(key_of(job_id), cache=False)
    return Record(**meta["result"]) if meta["status"] == RECORDED else None
