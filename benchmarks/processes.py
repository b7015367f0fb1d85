"""Starts, monitors (through /proc) and stops servers."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT = 120.0  # seconds
STOP_TIMEOUT = 20.0  # seconds
#: Variables that are not inherited, so that each system uses its own defaults.
THREADS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}


class StartError(Exception):
    """A server did not start; the message has the command to reproduce it."""


@dataclass
class Server:
    """A server and its processes, which run in their own session."""

    process: "subprocess.Popen[bytes]"
    port: int
    cold_start: float  # seconds from the start to the first response

    @property
    def processes(self) -> list[int]:
        """The processes of its session, and their children in other sessions."""
        stats = {pid: stat_of(pid) for pid in all_processes()}
        found = {pid for pid, stat in stats.items() if stat and int(stat[3]) == self.process.pid}
        size = 0
        while len(found) > size:
            size = len(found)
            found |= {pid for pid, stat in stats.items() if stat and int(stat[1]) in found}
        return sorted(found)

    def pss(self) -> float:
        """Proportional set size in MB: shared pages count once."""
        return sum(map(pss_of, self.processes)) / 1e6

    def cpu(self) -> float:
        """CPU seconds of its processes."""
        return sum(map(cpu_of, self.processes))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend its processes during the block."""
        self.signal(signal.SIGSTOP, self.processes)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT, self.processes)

    def stop(self) -> None:
        processes = self.processes
        self.signal(signal.SIGTERM, [self.process.pid])
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT)
        left = [pid for pid in processes if pid in set(all_processes())]
        self.signal(signal.SIGKILL, left)  # none if the server is well-behaved
        self.process.wait()

    def signal(self, number: signal.Signals, processes: list[int]) -> None:
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def all_processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_of(pid: int) -> float:
    fields = stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def busy_seconds() -> float:
    """CPU seconds used by the whole machine, over all cores."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / TICKS


def pss_of(pid: int) -> int:
    """Proportional set size in bytes."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = [line.split() for line in rollup.splitlines() if line.startswith("Pss:")]
    return sum(int(line[1]) * 1024 for line in lines)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def start(
    command: str, folder: Path, environment: dict[str, str], probe: tuple[str, bytes, str]
) -> Iterator[Server]:
    """Start a server, wait until it is ready, and stop it after the block.

    Args:
        command: a shell command; ``$PORT`` is the port to listen on.
        probe: path, body and content type of a request that returns 200 when the server is ready.

    Raises:
        StartError: it did not become ready in time.
    """
    port = free_port()
    environment = {name: value.replace("$PORT", str(port)) for name, value in environment.items()}
    environment["PORT"] = str(port)
    started = time.perf_counter()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in THREADS}
        | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(process, port, 0.0)
    try:
        while not answers(port, *probe):
            if process.poll() is not None or time.perf_counter() - started > START_TIMEOUT:
                variables = " ".join(f"{name}='{value}'" for name, value in environment.items())
                raise StartError(f"no response; to reproduce: cd {folder} && {variables} {command}")
            time.sleep(0.01)
        server.cold_start = time.perf_counter() - started
        yield server
    finally:
        server.stop()


def answers(port: int, path: str, body: bytes, content_type: str) -> bool:
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=START_TIMEOUT) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
