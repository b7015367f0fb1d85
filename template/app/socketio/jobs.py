"""Jobs as live messages: the event ``job`` tells of each change of a job's state or progress.

# {% if "jwt" in components %}
Every connection of the job's owner gets it.
# {% else %}
Whoever sends ``watch`` gets it.
# {% endif %}
Workers send it through Redis. Without Redis they cannot, and the process that carries the
connections looks after the jobs by itself.
"""

from threading import Lock, Thread
from time import sleep
# {% if "jwt" not in components %}
from typing import Annotated
from uuid import UUID
# {% endif %}

import structlog
from celery import current_task, states
from flask import Flask, current_app
# {% if "jwt" not in components %}
from flask_socketio import join_room
from pydantic import Field
from werkzeug.exceptions import Conflict

from app.api import Schema
# {% else %}

# {% endif %}
from app.celery import records, service
from app.celery.application import get_celery
from app.celery.execution import LISTENERS
from app.celery.records import Record
from app.celery.schemas import Job
from app.socketio import push
# {% if "jwt" not in components %}
from app.socketio.connections import current_connection
from app.socketio.events import event

MAX_WATCHED = 100  # jobs of one connection
# {% else %}

# {% endif %}
MAX_JOBS = 1000  # that are looked after without Redis
LOOK = 0.25  # seconds between two looks

log = structlog.stdlib.get_logger(__name__)


class Jobs:
    """The jobs that are looked after in this process, and how they were last seen."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.lock = Lock()
        self.seen: dict[str, Job | None] = {}

    def look_after(self, job_id: str) -> None:
        """Tell of the job's changes until it has ended."""
        with self.lock:
            starts = not self.seen
            if len(self.seen) < MAX_JOBS:
                self.seen.setdefault(job_id, None)
        if starts:
            Thread(target=self.run, name="socketio-jobs", daemon=True).start()

    def run(self) -> None:
        while self.look():
            sleep(LOOK)

    def look(self) -> bool:
        """Whether there are jobs left that have not ended."""
        with self.app.app_context():
            ended = [job_id for job_id, job in list(self.seen.items()) if self.ends(job_id, job)]
        with self.lock:
            for job_id in ended:
                del self.seen[job_id]
            return bool(self.seen)

    def ends(self, job_id: str, seen: Job | None) -> bool:
        try:
            record = records.read(get_celery().backend, job_id)
            if record is None:  # it has expired
                return True
            job = self.seen[job_id] = service.describe(job_id, record)
        except Exception:
            log.exception("a job could not be looked up")
            return False
        if job != seen:
            send(record, job)
        return job.state in states.READY_STATES


def init_app(app: Flask) -> None:
    app.extensions["socketio_jobs"] = Jobs(app)
    if tell not in LISTENERS:
        LISTENERS.append(tell)


def tell(job_id: str) -> None:
    """Send how a job is now."""
    # {% if "jwt" in components %}
    gate = current_app.extensions["socketio_gate"]
    if not current_app.config["REDIS_URL"] and len(gate.connections):
        get_jobs().look_after(job_id)
        return
    # {% endif %}
    record = records.read(get_celery().backend, job_id)
    if record and not (record.cancelled and current_task):  # who cancelled it has told so
        send(record, service.describe(job_id, record))


def send(record: Record, job: Job) -> None:
    """Its result may be large, and is left to those who want it."""
    document = job.model_dump(mode="json", exclude={"result"})
    # {% if "jwt" in components %}
    push.to_user(int(record.owner), "job", document)
    # {% else %}
    push.to_room(room_of(job.id), "job", document)
    # {% endif %}


def get_jobs() -> Jobs:
    jobs: Jobs = current_app.extensions["socketio_jobs"]
    return jobs
# {% if "jwt" not in components %}


class Watch(Schema):
    """A job, by its id."""

    job: Annotated[UUID, Field(strict=False)]


@event
def watch(body: Watch) -> Job:
    """Get each change of a job from now on; how it is now is the acknowledgement."""
    watched = current_connection().watched
    if len(watched) >= MAX_WATCHED:
        raise Conflict(f"Connect anew: {MAX_WATCHED} jobs are as many as you can watch.")
    job = service.get(body.job)
    watched.add(job.id)
    join_room(room_of(job.id))
    if not current_app.config["REDIS_URL"]:
        get_jobs().look_after(job.id)
    return job


def room_of(job_id: str) -> str:
    return f"job:{job_id}"
# {% endif %}
