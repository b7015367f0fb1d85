"""Configuration of the websocket process: ``gunicorn --config app/socketio/gunicorn.py wsgi:app``.

One process that holds a thread for each connection. For more connections, start more of these
processes and set ``REDIS_URL``. The process serves all other routes as well.
"""

import os
import runpy
from pathlib import Path
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from server_settings import read_address, read_number, require_metrics_folder

SPARE_THREADS = 16  # for requests other than WebSockets
# {% if serving %}

# A model takes as much memory as 300 connections, so load it only if it is used.
os.environ.setdefault("MODELS_AT_START", "0")
# {% endif %}

require_metrics_folder()
host, port = read_address()
bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
workers = 1
worker_class = "gthread"
threads = read_number("SOCKETIO_CONNECTIONS", 500) + SPARE_THREADS
worker_connections = threads + 100
timeout = 60
graceful_timeout = 5  # open connections don't end by themselves; clients connect again
keepalive = 5
limit_request_line = 8190  # bytes
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108

loglevel = os.environ.get("LOG_LEVEL") or "INFO"
# The application must not be imported here, or a reload (SIGHUP) would not load its new code.
logs = runpy.run_path(str(Path(__file__).parent.parent / "logs.py"))
logconfig_dict = logs["server_logging_config"]("gunicorn.error")


def child_exit(server: object, worker: Any) -> None:
    """Drop the gauges of a process that has ended."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
