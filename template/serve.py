"""The production server: ``python serve.py``.

It listens on ``$PORT`` on all interfaces, or on 127.0.0.1:8000 where that is unset; ``$HOST`` is
another interface. It ends gracefully: after SIGTERM it takes no new connection and finishes what it
has begun. ``gunicorn wsgi:app`` serves as well; see ``gunicorn.conf.py``.
"""

import gc
import os
import runpy
import signal
import socket
import sys
import tempfile
import traceback
from functools import partial
from importlib import import_module
from multiprocessing import Event
from multiprocessing.synchronize import Event as SharedEvent
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

# {% if "torch" in components and accelerator == "cuda" %}
# Requests share calls of the model within a process, and a GPU wants many in one.
WORKERS, THREADS = 1, 64
# {% else %}
WORKERS, THREADS = 2, 4
# {% endif %}


def main() -> None:
    port = os.environ.get("PORT")
    started, refused = Event(), Event()
    server = Granian(
        "wsgi:app",
        address=os.environ.get("HOST") or ("0.0.0.0" if port else "127.0.0.1"),  # noqa: S104
        port=read_number("PORT", 8000),
        interface=Interfaces.WSGI,
        websockets=False,
        workers=read_number("WEB_CONCURRENCY", WORKERS),
        blocking_threads=read_number("WEB_THREADS", THREADS),
        respawn_failed_workers=True,
        workers_kill_timeout=30,
        http1_settings=HTTP1Settings(header_read_timeout=75_000),  # ms, for idle connections too
        log_level=read_log_level(),
        log_dictconfig=logging_config(),
    )
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        # Where all processes keep their numbers, before anything imports the metrics.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        server.serve(target_loader=partial(load, started, refused), wrap_loader=False)
    if refused.is_set():
        sys.exit(1)


def read_number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal():
        sys.exit(f"Error: {name} is {value!r}; set it to a whole number.")
    return int(value)


def read_log_level() -> LogLevels:
    value = os.environ.get("LOG_LEVEL") or "INFO"
    try:
        return LogLevels(value.lower())
    except ValueError:
        sys.exit(f"Error: LOG_LEVEL is {value!r}; set it to DEBUG, INFO, WARNING or ERROR.")


def logging_config() -> dict[str, Any]:
    """The server logs as the service does. The file is run, not imported: the application must not
    be loaded here, or its new code would not be at the next SIGHUP.
    """
    logs = runpy.run_path(str(Path(__file__).parent / "app" / "logs.py"))
    config: dict[str, Any] = logs["server_logging_config"]("_granian")
    return config


def load(started: SharedEvent, refused: SharedEvent) -> Flask:
    """The application, in each worker process; where the first cannot start, all of them end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the server sets its own, it would be lost
    try:
        app: Flask = import_module("wsgi").app
    except ClickException as error:
        error.show()
        refuse(started, refused)
    except Exception:
        traceback.print_exc()
        refuse(started, refused)
    started.set()
    wake_at_signals()
    gc.collect()
    gc.freeze()  # what is loaded stays; the collector need not look at it again
    return app


def refuse(started: SharedEvent, refused: SharedEvent) -> NoReturn:
    if not started.is_set():
        refused.set()
        os.kill(os.getppid(), signal.SIGTERM)
    sys.exit(1)


def wake_at_signals() -> None:
    """Have the main thread look at signals that another thread was interrupted by.

    The server's main thread sleeps without a limit, and Python handles signals nowhere else.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR2, lambda *_: None)  # to interrupt is all it has to do
    Thread(target=wake, args=(reader, writer), name="signals", daemon=True).start()


def wake(reader: socket.socket, writer: socket.socket) -> NoReturn:
    """Wait for the end of the process. It keeps ``writer``, which the interpreter writes to."""
    while reader.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
        pass
    while True:
        signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR2)
        sleep(0.1)


if __name__ == "__main__":
    main()
