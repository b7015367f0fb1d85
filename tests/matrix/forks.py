"""A fork server: heavy libraries are imported once, and each task runs in a forked child.

A task that hangs, exits or is killed by a signal is reported as a failure and affects no other.
"""

import contextlib
import gc
import importlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: A task. Its result must be JSON-serializable; it fails by raising an exception.
Work = Callable[[], Any]


@dataclass(frozen=True)
class Outcome:
    """The result of a task."""

    key: str
    failure: str
    """One line, such as ``killed by SIGSEGV``; empty on success."""
    value: Any
    """What the task returned; None on failure."""
    seconds: float
    """Wall time."""
    cpu: float
    """Core-seconds, including its children."""
    log: Path
    """Its output, including a traceback."""


@dataclass(frozen=True)
class Child:
    key: str
    log: Path
    pid: int
    started: float
    deadline: float


def import_all(modules: Iterable[str]) -> None:
    """Import modules in advance; those that fail are left to the children."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def freeze() -> None:
    """Exclude existing objects from garbage collection, so that forks share their memory."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # children are short-lived


class Forks:
    """Runs up to ``size`` children. Call ``start`` unless ``full``, and ``wait`` for results."""

    def __init__(self, size: int, logs: Path) -> None:
        self.size = size
        self.logs = logs
        self.children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    @property
    def full(self) -> bool:
        return len(self.children) >= self.size

    def start(self, key: str, work: Work, limit: float) -> None:
        """Run ``work`` in a child, for at most ``limit`` seconds."""
        log = self.logs / (re.sub(r"[^\w,:=.-]", "+", key) + ".log")
        log.with_suffix(".json").unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        # Python would lose the KeyboardInterrupt of a Ctrl-C during the fork.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            pid = os.fork()
            if not pid:
                run_child(work, log)
            now = time.monotonic()
            self.children.append(Child(key, log, pid, now, now + limit))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def wait(self) -> Outcome:
        """The outcome of the next task that ends or exceeds its limit."""
        while True:
            for child in self.children:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    return self.finish(child, status, usage)
                if child.deadline < time.monotonic():
                    return self.kill(child)
            time.sleep(0.01)

    def kill(self, child: Child) -> Outcome:
        os.killpg(child.pid, signal.SIGKILL)
        _, status, usage = os.wait4(child.pid, 0)
        return self.finish(child, status, usage, late=True)

    def finish(
        self, child: Child, status: int, usage: resource.struct_rusage, late: bool = False
    ) -> Outcome:
        self.children.remove(child)
        with contextlib.suppress(ProcessLookupError):  # its own children
            os.killpg(child.pid, signal.SIGKILL)
        seconds = time.monotonic() - child.started
        sent = child.log.with_suffix(".json")
        result = json.loads(sent.read_text()) if sent.exists() else None
        sent.unlink(missing_ok=True)
        if late:
            failure = f"timed out after {seconds:.0f} seconds"
        elif os.WIFSIGNALED(status):
            failure = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        elif result is None:
            failure = f"exited early with status {os.waitstatus_to_exitcode(status)}"
        else:
            failure = result["failure"]
        value = result["value"] if result and not failure else None
        cpu = usage.ru_utime + usage.ru_stime
        return Outcome(child.key, failure, value, seconds, cpu, child.log)

    def stop(self) -> None:
        """Kill the remaining children."""
        for child in list(self.children):
            self.kill(child)


def run_child(work: Work, log: Path) -> None:
    """Run a task in a forked child; never returns."""
    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        result = attempt(work)
        sys.stdout.flush()
        sys.stderr.flush()
        log.with_suffix(".json").write_text(result)
        os._exit(0)
    finally:
        os._exit(1)


def attempt(work: Work) -> str:
    """Run a task and return its result as JSON."""
    try:
        return json.dumps({"value": work(), "failure": ""})
    except BaseException as error:
        traceback.print_exc()
        first = str(error).strip().partition("\n")[0]
        return json.dumps({"value": None, "failure": f"{type(error).__name__}: {first}"[:500]})
