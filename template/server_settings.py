"""What the server processes read from the environment before they load the application.

Each function ends the process with one line on standard error if a variable can't be used.
"""

import os
import socket
import sys
from functools import cache
from pathlib import Path

MAX_PORT = 65535


def read_number(name: str, default: int, least: int = 0) -> int:
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdecimal() and int(value) >= least):
        sys.exit(f"Error: {name} is {value!r}; set it to a whole number from {least} on.")
    return int(value)


@cache  # when a server reloads its configuration, the port is in use by itself
def read_address() -> tuple[str, int]:
    """The numeric address and the port to listen on.

    ``HOST`` is a name, an IPv4 or an IPv6 address. It defaults to all IPv4 interfaces if ``PORT``
    is set, and to 127.0.0.1:8000 otherwise.
    """
    host = os.environ.get("HOST") or ("0.0.0.0" if os.environ.get("PORT") else "127.0.0.1")  # noqa: S104
    port = read_number("PORT", 8000)
    if port > MAX_PORT:
        sys.exit(f"Error: PORT is {port}; set it to a number from 0 to {MAX_PORT}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        sys.exit(f"Error: HOST is {host!r}, which has no address.")
    family, _, _, _, address = min(found)  # IPv4 comes first
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            sys.exit(f"Error: Can't listen on {host}, port {port}: {error.strerror}.")
    return str(address[0]), port


def require_metrics_folder() -> None:
    """Check the folder in which several processes share their metrics."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder and not (Path(folder).is_dir() and os.access(folder, os.W_OK)):
        sys.exit(f"Error: PROMETHEUS_MULTIPROC_DIR is {folder!r}, not a folder to write to.")
