"""The production web server: ``python serve.py``.

It listens on ``HOST`` and ``PORT``; see ``server_settings.py``. After SIGTERM it accepts no new
connections and finishes the requests that are running. While ``DRAIN_FILE`` exists, each response
closes its connection, so that clients behind a load balancer move to another server before that.
"""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from click import ClickException
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from server_settings import read_address, read_number, require_metrics_folder

DRAIN_FILE = os.environ.get("DRAIN_FILE")

# {% if "torch" in components and accelerator == "cuda" %}
# Requests share calls of the model within a process, and a GPU wants many in one.
WORKERS, THREADS = 1, 64
# {% else %}
WORKERS, THREADS = 2, 4
# {% endif %}


def main() -> None:
    host, port = read_address()
    require_metrics_folder()
    if DRAIN_FILE:
        Path(DRAIN_FILE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        # All processes keep their metrics here; it must be set before they are imported.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        serve(host, port)


def serve(host: str, port: int) -> None:
    from app.config import ConfigError, load_settings
    from app.logs import logging_config

    try:
        settings = load_settings(None)
    except ConfigError as error:
        error.show()
        sys.exit(1)
    level = settings["LOG_LEVEL"]
    Granian(
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
        log_level=LogLevels(level.lower()),
        log_dictconfig=logging_config(settings["LOG_FORMAT"], level) | {"loggers": {}},
    ).serve(target_loader=load, wrap_loader=False)


def load() -> WSGIApplication:
    """Load the application, in each worker process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the server sets its own handler
    try:
        app: WSGIApplication = import_module("wsgi").app
    except ClickException as error:
        error.show()
        sys.exit(1)
    gc.collect()
    gc.freeze()  # skip what is loaded now in later collections
    return close_connections(app, Path(DRAIN_FILE)) if DRAIN_FILE else app


def close_connections(app: WSGIApplication, drain_file: Path) -> WSGIApplication:
    """Have each response close its connection while the file exists."""

    def closing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], *error: Any
        ) -> Callable[[bytes], object]:
            if drain_file.exists():
                headers.append(("Connection", "close"))
            return start_response(status, headers, *error)

        return app(environ, start)

    return closing


if __name__ == "__main__":
    main()
