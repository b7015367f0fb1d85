"""The Celery application, set up as Flask's documentation shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery, Task
from flask import Flask, current_app
# {% if "socketio" in components %}

from app.celery.execution import notify
# {% endif %}

#: Seconds a request waits for the broker or the result store.
TIMEOUT = 1.0
#: Seconds between the time limit that a job can handle and the one that ends its process.
GRACE = 10.0
#: Seconds running jobs have to finish when a worker is stopped; then they return to the queue.
SHUTDOWN_TIMEOUT = 5.0


def celery_init_app(app: Flask) -> Celery:
    """Create a Celery application whose tasks run in the context of ``app``."""

    class FlaskTask(Task):  # type: ignore[misc]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)
        # {% if "socketio" in components %}

        def after_return(self, state: str, result: Any, job_id: str, *_: Any) -> None:
            with app.app_context():
                notify(job_id)
        # {% endif %}

    store = backend_url(app.config["CELERY_RESULT_BACKEND"])
    celery_app = Celery(app.name, task_cls=FlaskTask, backend=store)
    celery_app.config_from_object(celery_settings(app.config))
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


def get_celery() -> Celery:
    celery_app: Celery = current_app.extensions["celery"]
    return celery_app


def backend_url(url: str) -> str:
    """Celery's URL of the result store, with the class from ``app.celery.stores`` where needed."""
    if url.startswith("file:"):
        return f"app.celery.stores:FileStore+{url}"
    if url.startswith(("redis:", "rediss:", "redis+socket:")):
        return f"app.celery.stores:RedisStore+{url.removeprefix('redis+')}"
    return url


def celery_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Celery's own settings; https://docs.celeryq.dev explains each."""
    broker, prefix = config["CELERY_BROKER_URL"], config["KEY_PREFIX"]
    return {
        # Celery prefers CELERY_BROKER_URL from the environment to ``broker_url``, but not to these.
        "broker_read_url": broker,
        "broker_write_url": broker,
        "broker_transport_options": transport_options(config),
        "broker_connection_timeout": TIMEOUT / 2,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # One retry for a connection that went stale; requests do not wait for a broker.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_max": 0},
        "result_backend_thread_safe": True,
        "result_backend_transport_options": {
            "global_keyprefix": f"{prefix}:",
            "retry_policy": {"max_retries": 0},
        },
        "result_expires": config["JOB_RESULT_EXPIRES"],
        "redis_socket_connect_timeout": TIMEOUT,
        "redis_socket_timeout": TIMEOUT,
        # Names for RabbitMQ. Redis prefixes its keys and channels as well.
        "task_default_queue": f"{prefix}.jobs",
        "control_exchange": f"{prefix}.control",
        "event_exchange": f"{prefix}.events",
        "event_queue_prefix": f"{prefix}.events",
        # Acknowledge a job when it ends, so that one whose worker dies is delivered again.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": config["JOB_TIME_LIMIT"],
        "task_time_limit": config["JOB_TIME_LIMIT"] + GRACE,
        "worker_concurrency": config["WORKER_CONCURRENCY"],
        "worker_lost_wait": 1.0,
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
        "worker_soft_shutdown_timeout": SHUTDOWN_TIMEOUT,
        "beat_scheduler": "celery.beat:Scheduler",  # keeps no state in a file
        "beat_schedule": {
            "delete expired results": {"task": "celery.backend_cleanup", "schedule": 3600.0}
        },
    }


def transport_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Kombu's options for the broker in use."""
    broker: str = config["CELERY_BROKER_URL"]
    if broker.startswith("redis"):
        return {
            "global_keyprefix": f"{config['KEY_PREFIX']}:",
            # Redis delivers a job again that was not acknowledged for this long. It has to be
            # longer than the longest job, or else that job runs twice.
            "visibility_timeout": config["JOB_TIME_LIMIT"] + 2 * GRACE,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "socket_connect_timeout": TIMEOUT,
            "socket_timeout": TIMEOUT,
        }
    if broker.startswith("filesystem"):
        folder = Path(config["JOB_DIR"], "queue")
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": folder.with_name("control"),
            "polling_interval": 0.1,
        }
    return {"polling_interval": 0.02} if broker.startswith("memory") else {"confirm_publish": True}
