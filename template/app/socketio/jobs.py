"""Job progress as live messages: the event ``job`` reports each change of state or progress.

# {% if "jwt" in components %}
Every connection of the job's owner receives it.
# {% else %}
Clients that sent ``watch`` with the job's id receive it.
# {% endif %}
Workers send it through Redis. Without ``REDIS_URL``, as in development, they can't; the process
with the connections polls the job every second instead.
"""

# {% if "jwt" not in components %}
from typing import Annotated
from uuid import UUID

# {% endif %}
from celery import states
from flask import Flask, current_app
# {% if "jwt" not in components %}
from flask_socketio import join_room
from pydantic import Field

from app.api import Schema
# {% else %}

# {% endif %}
from app.celery import records, service
from app.celery.application import get_celery
from app.celery.execution import LISTENERS
from app.celery.schemas import Job
from app.socketio import push
# {% if "jwt" not in components %}
from app.socketio.events import event
# {% endif %}


def init_app(app: Flask) -> None:
    app.extensions["polled_jobs"] = {}  # id → the job as it was last sent
    if notify not in LISTENERS:
        LISTENERS.append(notify)


def notify(job_id: str) -> None:
    """Called in the process that changed the job: a web process or a worker."""
    # {% if "jwt" in components %}
    if not current_app.config["REDIS_URL"] and current_app.extensions["websockets"].connections:
        current_app.extensions["polled_jobs"][job_id] = None
        return
    # {% endif %}
    send(job_id)


def send(job_id: str, seen: Job | None = None) -> Job | None:
    """Send how a job is now, unless it is as ``seen``; return ``None`` if it has expired."""
    record = records.read(get_celery().backend, job_id)
    if record is None:
        return None
    job = service.describe(job_id, record)
    if job != seen:
        document = job.model_dump(mode="json", exclude={"result"})  # which may be large
        # {% if "jwt" in components %}
        push.to_user(int(record.owner), "job", document)
        # {% else %}
        push.to_room(room_of(job_id), "job", document)
        # {% endif %}
    return job


def poll() -> None:
    """Send the changes of jobs whose workers can't reach this process."""
    polled: dict[str, Job | None] = current_app.extensions["polled_jobs"]
    for job_id, seen in list(polled.items()):
        polled[job_id] = job = send(job_id, seen)
        if job is None or job.state in states.READY_STATES:
            del polled[job_id]
# {% if "jwt" not in components %}


class Watch(Schema):
    """A job, by its id."""

    job: Annotated[UUID, Field(strict=False)]


@event
def watch(body: Watch) -> Job:
    """Receive each change of a job from now on; the acknowledgement is how it is now."""
    job = service.get(body.job)
    join_room(room_of(job.id))
    if not current_app.config["REDIS_URL"]:
        current_app.extensions["polled_jobs"][job.id] = None
    return job


def room_of(job_id: str) -> str:
    return f"job:{job_id}"
# {% endif %}
