"""What is known of a job besides its result, kept in the result store from its submission on."""

from dataclasses import asdict, dataclass
from typing import Any

RECORDED = "RECORDED"


@dataclass(frozen=True)
class Record:
    """A job that was submitted. ``owner`` is an account's id where there are accounts."""

    kind: str
    owner: str
    request_id: str
    cancelled: bool = False


def write(backend: Any, job_id: str, record: Record) -> None:
    backend.store_result(f"job-{job_id}", asdict(record), RECORDED)


def read(backend: Any, job_id: str) -> Record | None:
    """None where there is no such job, or where it was so long ago that it has expired."""
    meta = backend.get_task_meta(f"job-{job_id}", cache=False)
    return Record(**meta["result"]) if meta["status"] == RECORDED else None
