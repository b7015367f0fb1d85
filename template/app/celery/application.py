"""The Celery application, made for the Flask application as Flask's documentation shows it."""

from collections.abc import Mapping
from typing import Any

from celery import Celery, Task
from flask import Flask, current_app
from kombu.transport import TRANSPORT_ALIASES

from app.celery.lease import Lease
# {% if "socketio" in components %}
from app.celery.runs import changed
# {% endif %}

#: Seconds that a broker or store may take: a submission is answered in time where one is down.
PATIENCE = 1.0
#: Seconds between the limit that a job can react to, and its end.
GRACE = 10.0


def celery_init_app(app: Flask) -> Celery:
    """Bind a Celery application to ``app``; its tasks run in the context of ``app``."""

    class FlaskTask(Task):  # type: ignore[misc]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)
        # {% if "socketio" in components %}

        def after_return(self, state: str, result: Any, job_id: str, *_: Any) -> None:
            with app.app_context():
                changed(job_id)
        # {% endif %}

    celery_app = Celery(app.name, task_cls=FlaskTask, backend=app.config["CELERY_RESULT_BACKEND"])
    celery_app.loader.override_backends = {
        "file": "app.celery.files:FileStore",
        "redis": "app.celery.stores:RedisStore",
        "rediss": "app.celery.stores:RedisStore",
    }
    # By name: with ``broker_transport``, Kombu knows neither TLS nor sockets in files.
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "app.celery.redis:Transport"))
    celery_app.config_from_object(celery_settings(app.config))
    celery_app.steps["consumer"].add(Lease)
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


def get_celery() -> Celery:
    celery_app: Celery = current_app.extensions["celery"]
    return celery_app


def celery_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Celery's own settings; https://docs.celeryq.dev explains each."""
    broker = config["CELERY_BROKER_URL"]
    return {
        "broker_read_url": broker,  # these two, as variables win over broker_url
        "broker_write_url": broker,
        "broker_transport": "app.celery.files:Transport" if scheme(broker) == "file" else None,
        "broker_transport_options": transport_options(config),
        "broker_connection_timeout": PATIENCE / 2,  # for each step of RabbitMQ's greeting, twice
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker for ever
        # A connection that went stale is made anew, once; nobody waits for a broker that is down.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_max": 0},
        "result_backend_thread_safe": True,
        "result_backend_transport_options": {"retry_policy": {"max_retries": 0}},
        "result_expires": config["JOB_RESULT_EXPIRES"],
        "redis_socket_connect_timeout": PATIENCE,
        "redis_socket_timeout": PATIENCE,
        # A job is acknowledged when it has ended; one whose worker is lost goes to another.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": config["JOB_TIME_LIMIT"],
        "task_time_limit": config["JOB_TIME_LIMIT"] + GRACE,
        # What runs goes on when the broker is lost, though it comes again, to be dropped or done
        # twice: to end its process would lose what Celery sends to that process meanwhile.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_lost_wait": 1.0,  # seconds that a result of a lost process may still arrive in
        "worker_concurrency": config["WORKER_CONCURRENCY"],
        "worker_prefetch_multiplier": 1,
        "worker_redirect_stdouts": False,
        "beat_scheduler": "celery.beat:Scheduler",  # that keeps no file
        "beat_schedule": {
            "delete expired results": {"task": "celery.backend_cleanup", "schedule": 3600.0}
        },
    }


def scheme(url: str) -> str:
    """The family of a broker's URL."""
    name = url.partition(":")[0].partition("+")[0]
    return {"filesystem": "file", "rediss": "redis", "pyamqp": "amqp", "amqps": "amqp"}.get(
        name, name
    )


def transport_options(config: Mapping[str, Any]) -> dict[str, Any]:
    lease, folder = config["JOB_LEASE"], config["JOB_DIR"]
    options: dict[str, dict[str, Any]] = {
        "redis": {
            "visibility_timeout": lease,
            "unacked_restore_interval": lease / 6,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": int(lease),  # held by a worker that was killed
            "priority_steps": [0],  # one list for a queue
            "socket_connect_timeout": PATIENCE,
            "socket_timeout": PATIENCE,
        },
        "file": {
            "visibility_timeout": lease,
            "data_folder_in": f"{folder}/queue",
            "data_folder_out": f"{folder}/queue",
            "store_processed": True,
            "processed_folder": f"{folder}/delivered",
            "control_folder": f"{folder}/control",
            "polling_interval": 0.03,
        },
        "memory": {"polling_interval": 0.02},
        "amqp": {"confirm_publish": True},
    }
    return options.get(scheme(config["CELERY_BROKER_URL"]), {})
