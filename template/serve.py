"""The production server: ``python serve.py``.

It listens on ``$PORT`` on all interfaces, or on 127.0.0.1:8000 where that is unset; ``$HOST`` is
another interface. It ends gracefully: after SIGTERM it takes no new connection and finishes what it
has begun. ``gunicorn wsgi:app`` serves as well; see ``gunicorn.conf.py``.
"""

import gc
import os
import runpy
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

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
    server = Granian(
        "wsgi:app",
        address=os.environ.get("HOST") or ("0.0.0.0" if port else "127.0.0.1"),  # noqa: S104
        port=int(port or 8000),
        interface=Interfaces.WSGI,
        websockets=False,
        workers=int(os.environ.get("WEB_CONCURRENCY") or WORKERS),
        blocking_threads=int(os.environ.get("WEB_THREADS") or THREADS),
        respawn_failed_workers=True,
        workers_kill_timeout=30,
        http1_settings=HTTP1Settings(header_read_timeout=75_000),  # ms, for idle connections too
        log_level=LogLevels((os.environ.get("LOG_LEVEL") or "INFO").lower()),
        log_dictconfig=logging_config(),
    )
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        # Where all processes keep their numbers, before anything imports the metrics.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        server.serve(target_loader=load, wrap_loader=False)


def logging_config() -> dict[str, Any]:
    """The server logs as the service does. The file is run, not imported: the application must not
    be loaded here, or its new code would not be at the next SIGHUP.
    """
    logs = runpy.run_path(str(Path(__file__).parent / "app" / "logs.py"))
    config: dict[str, Any] = logs["server_logging_config"]("_granian")
    return config


def load() -> Flask:
    """The application, in each worker process; one line where it cannot start."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the server sets its own, it would be lost
    try:
        app: Flask = import_module("wsgi").app
    except ClickException as error:
        sys.exit(f"Error: {error.format_message()}")
    gc.collect()
    gc.freeze()  # what is loaded stays; the collector need not look at it again
    return app


if __name__ == "__main__":
    main()
