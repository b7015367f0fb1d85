"""The production server of live messages: ``gunicorn --config app/socketio/gunicorn.py wsgi:app``.

One process, in which each connection holds a thread; for more connections, start more of it and
set ``REDIS_URL``. It answers all other routes too, so that a proxy may send it what it likes.
"""

import os
import runpy
import signal
from pathlib import Path
from threading import Thread
from typing import Any

SPARE_THREADS = 16  # for all that is no connection
# {% if serving %}

# Most of these processes are asked for no prediction, and a model takes as much as 300 connections.
os.environ.setdefault("MODELS_AT_START", "0")
# {% endif %}

port = os.environ.get("PORT")
host = os.environ.get("HOST") or ("0.0.0.0" if port else "127.0.0.1")  # noqa: S104
bind = f"{host}:{port or 8000}"
connections = int(os.environ.get("SOCKETIO_CONNECTIONS") or 500)
workers = 1
worker_class = "gthread"
threads = connections + SPARE_THREADS
worker_connections = threads + 100
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190  # bytes
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# The server logs as the service does.
loglevel = os.environ.get("LOG_LEVEL") or "INFO"
logs = runpy.run_path(str(Path(__file__).parent.parent / "logs.py"))
logconfig_dict = logs["server_logging_config"]("gunicorn.error")


def post_worker_init(worker: Any) -> None:
    """At SIGTERM, end the connections: the server would wait for them in vain."""
    stop: Any = signal.getsignal(signal.SIGTERM)
    gate = worker.wsgi.extensions["socketio_gate"]

    def close_and_stop(number: int, frame: Any) -> None:
        Thread(target=gate.close, name="socketio-close").start()
        stop(number, frame)

    signal.signal(signal.SIGTERM, close_and_stop)
