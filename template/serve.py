"""The production web server: ``python serve.py``.

It listens on ``HOST`` and ``PORT``; see ``server_settings.py``. After SIGTERM it accepts no new
connections and finishes the requests that are running.
"""

import gc
import os
import runpy
import signal
import socket
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from threading import Thread, main_thread
from time import sleep
from typing import Any, NoReturn

from click import ClickException
from flask import Flask
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from server_settings import read_address, read_number, require_metrics_folder

# {% if "torch" in components and accelerator == "cuda" %}
# Requests share calls of the model within a process, and a GPU wants many in one.
WORKERS, THREADS = 1, 64
# {% else %}
WORKERS, THREADS = 2, 4
# {% endif %}


def main() -> None:
    host, port = read_address()
    require_metrics_folder()
    server = Granian(
        "wsgi:app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        workers=read_number("WEB_CONCURRENCY", WORKERS, least=1),
        blocking_threads=read_number("WEB_THREADS", THREADS, least=1),
        respawn_failed_workers=True,
        workers_kill_timeout=30,
        http1_settings=HTTP1Settings(header_read_timeout=75_000),  # ms, for idle connections too
        log_level=read_log_level(),
        log_dictconfig=logging_config(),
    )
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        # Where all processes keep their metrics; set before anything imports them.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        check_settings()
        server.serve(target_loader=load, wrap_loader=False)


def check_settings() -> None:
    """End with one line here, not in every worker, if a setting is missing or wrong."""
    from app.config import ConfigError, load_settings

    try:
        load_settings(None)
    except ConfigError as error:
        error.show()
        sys.exit(1)


def read_log_level() -> LogLevels:
    value = os.environ.get("LOG_LEVEL") or "INFO"
    try:
        return LogLevels(value.lower())
    except ValueError:
        sys.exit(f"Error: LOG_LEVEL is {value!r}; set it to DEBUG, INFO, WARNING or ERROR.")


def logging_config() -> dict[str, Any]:
    """Have the server log as the service does. Importing ``app`` here would be too early."""
    logs = runpy.run_path(str(Path(__file__).parent / "app" / "logs.py"))
    config: dict[str, Any] = logs["server_logging_config"]("_granian")
    return config


def load() -> Flask:
    """Load the application, in each worker process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the server sets its own handler
    try:
        app: Flask = import_module("wsgi").app
    except ClickException as error:
        error.show()
        sys.exit(1)
    wake_at_signals()
    gc.collect()
    gc.freeze()  # the collector need not look at what is loaded again
    return app


def wake_at_signals() -> None:
    """Have the main thread notice signals that the kernel delivered to another thread.

    Python handles signals in the main thread only, and the server's sleeps until it is interrupted.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR2, lambda *_: None)  # interrupting is all it does
    Thread(target=wake, args=(reader, writer), name="signals", daemon=True).start()


def wake(reader: socket.socket, writer: socket.socket) -> NoReturn:
    """Interrupt the main thread from the first SIGTERM on. ``writer`` must stay referenced."""
    while reader.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
        pass
    while True:
        signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR2)
        sleep(0.1)


if __name__ == "__main__":
    main()
