"""Another production server than ``serve.py``: ``gunicorn wsgi:app`` reads this by itself.

It takes the same variables, but that gunicorn's ``--bind`` takes the place of ``HOST``, and ends
gracefully too.
"""

import os
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

# Where all processes keep their numbers; set before anything imports the metrics.
metrics = tempfile.mkdtemp(prefix="metrics-")
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", metrics)

# {% if "socketio" in components %}
# A few connections would hold all threads; the process type websocket takes them.
os.environ["SOCKETIO_CONNECTIONS"] = "0"

# {% endif %}
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS") or 8)
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190  # bytes
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108

# The server logs as the service does. The file is run, not imported: the application must not be
# loaded here, or its new code would not be at the next SIGHUP.
loglevel = os.environ.get("LOG_LEVEL") or "INFO"
logs = runpy.run_path(str(Path(__file__).parent / "app" / "logs.py"))
logconfig_dict = logs["server_logging_config"]("gunicorn.error")


def on_exit(server: Any) -> None:
    shutil.rmtree(metrics, ignore_errors=True)
