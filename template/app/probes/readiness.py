"""Readiness checks, which run in parallel and share one timeout."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock

import structlog
from flask import Flask

Check = Callable[[], object]

log = structlog.stdlib.get_logger(__name__)


class Readiness:
    """The checks of one application. A check that hangs is not started again."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.checks: dict[str, Check] = {}
        self.running: dict[str, Future[bool]] = {}
        self.lock = Lock()
        self.pool = ThreadPoolExecutor(thread_name_prefix="readiness")

    def run(self, timeout: float) -> dict[str, bool]:
        """Run all checks. Those that don't pass within ``timeout`` seconds have failed."""
        with self.lock:
            for name in self.checks:
                if name not in self.running or self.running[name].done():
                    self.running[name] = self.pool.submit(copy_context().run, self.passes, name)
            futures = {name: self.running[name] for name in self.checks}
        done, _ = wait(futures.values(), timeout)
        return {name: future in done and future.result() for name, future in futures.items()}

    def passes(self, name: str) -> bool:
        try:
            with self.app.app_context():
                self.checks[name]()
        except Exception:
            log.warning("not ready", check=name, exc_info=True)
            return False
        return True


def add_check(app: Flask, name: str, check: Check) -> None:
    """Have ``GET /ready`` call ``check``, which raises if the dependency is not ready."""
    get_readiness(app).checks[name] = check


def get_readiness(app: Flask) -> Readiness:
    readiness: Readiness = app.extensions.setdefault("readiness", Readiness(app))
    return readiness
