"""The production server: ``gunicorn wsgi:app`` reads this by itself.

It listens on ``$PORT`` on all interfaces, or on 127.0.0.1:8000 where that is unset, and ends
gracefully: after SIGTERM it takes no new connection and finishes what it has begun.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

# Before the metrics are imported, since they look for it once: the folder they share.
metrics_dir = tempfile.mkdtemp(prefix="metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir

from app.config import load_settings  # noqa: E402
from app.logs import logging_config  # noqa: E402

settings = load_settings(None)

workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS") or 8)
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190  # bytes
control_socket_disable = True
loglevel = settings["LOG_LEVEL"]
logconfig_dict = logging_config(settings["LOG_FORMAT"], settings["LOG_LEVEL"])
logconfig_dict["loggers"] = {"gunicorn.error": {"propagate": True}}
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    shutil.rmtree(metrics_dir, ignore_errors=True)
