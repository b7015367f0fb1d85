"""How a job gets into the queue."""

from base64 import b64encode
from functools import cache
from typing import Any
from uuid import uuid4

from celery import Celery
from pydantic_core import to_json

from app.celery import records
from app.celery.records import Record
from app.celery.stores import RedisStore

SHOWN = {"argsrepr": "…", "kwargsrepr": ""}  # of what a job is given, in logs and events
#: Seconds that RabbitMQ may take to confirm a message. Where it hangs, a new connection is tried
#: besides, and the client still has its answer within two seconds.
CONFIRMATION = 0.75


def send(celery_app: Celery, job_id: str, record: Record, given: str) -> None:
    """Record a job, then queue it, so that no worker sees a job that is not recorded.

    Where one Redis keeps both, they take one round trip, and a fifth of the time.
    """
    store = celery_app.backend
    if isinstance(store, RedisStore) and store.has_queue:
        message = encode(celery_app, job_id, record.kind, given)
        queue = queue_of(celery_app, record.kind)
        store.push(queue, message, records.key_of(job_id), vars(record))
        return
    records.write(store, job_id, record)
    task = celery_app.tasks[record.kind]
    task.apply_async((given,), task_id=job_id, confirm_timeout=CONFIRMATION, **SHOWN)


@cache
def queue_of(celery_app: Celery, kind: str) -> str:
    """The queue that Celery routes a kind to; to find it takes longer than to send."""
    return str(celery_app.amqp.router.route({}, kind)["queue"].name)


def encode(celery_app: Celery, job_id: str, kind: str, given: str) -> bytes:
    """The message that ``apply_async`` sends, as Kombu writes it into Redis."""
    task = celery_app.tasks[kind]
    limits = {"time_limit": task.time_limit, "soft_time_limit": task.soft_time_limit}
    make = celery_app.amqp.create_task_message
    headers, properties, body, _ = make(job_id, kind, (given,), **limits, **SHOWN)
    delivery: dict[str, Any] = {
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue_of(celery_app, kind)},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    message = {
        "body": b64encode(to_json(body)).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties | delivery,
    }
    return to_json(message)
