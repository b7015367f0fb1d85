"""Runs combinations on the fork server and records their results."""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests import cookiecutter_json
from tests.combinations import ROOT, Combination, components, everything
from tests.combinations import render as copier
from tests.engines import SOURCES, Prepared, bake, prepare, snapshot
from tests.matrix import checks, static
from tests.matrix.caching import cache_everything
from tests.matrix.forks import Forks, Outcome, freeze, import_all
from tests.matrix.progress import Progress

#: Number of services that mypy checks in one run.
BATCH = 16
STATIC = "lint, format and types, batch"


@dataclass(frozen=True)
class Settings:
    """Options of a run; times in seconds."""

    jobs: int
    limit: float
    report: Path
    cache: Path
    resume: bool = False
    fail_fast: bool = False


@dataclass
class Result:
    """The result of one combination. ``failure`` is empty if it passed."""

    key: str
    levels: dict[str, str]
    failure: str
    tests: int
    seconds: float
    cpu: float
    log: str
    phases: dict[str, float] = field(default_factory=dict)


class Matrix:
    """A run of ``combinations``."""

    def __init__(self, combinations: list[Combination], settings: Settings) -> None:
        self.combinations = {str(combination): combination for combination in combinations}
        self.settings = settings
        self.results: dict[str, Result] = {}
        self.resumed = 0
        self.waiting: dict[str, tuple[Result, Path]] = {}
        """Passed so far; waiting for lint and type checks in a batch."""
        self.folders: dict[str, Path] = {}
        """Where running combinations are rendered."""
        self.seen: set[str] = set()
        self.batches = 0
        self.static_cpu = 0.0
        self.setup = 0.0
        self.seconds = 0.0
        logs = settings.report / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        self.forks = Forks(settings.jobs, logs)
        self.record = settings.report / "results.jsonl"
        self.prepared: Prepared

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results.values() if result.failure]

    @property
    def complete(self) -> bool:
        """Whether all combinations ran and passed."""
        ran = self.results.keys() == self.combinations.keys()
        return ran and not self.failed and not self.drift

    @property
    def drift(self) -> str:
        """An error message if cookiecutter.json is outdated, else an empty string."""
        text = cookiecutter_json.PATH.read_text("utf-8")
        current = text == cookiecutter_json.text()
        return "" if current else "cookiecutter.json does not match copier.yml"

    def summary(self) -> str:
        expected, run, failed = len(self.combinations), len(self.results), len(self.failed)
        cpu = sum(result.cpu for result in self.results.values()) + self.static_cpu
        return (
            f"Combinations: {expected} expected, {run} run, {run - failed} passed"
            + (f" ({self.resumed} of them in an earlier run)" if self.resumed else "")
            + f", with {sum(result.tests for result in self.results.values())} tests of their own."
            f"\n  {self.seconds:.0f} s; {cpu / max(run - self.resumed, 1):.2f} core-seconds each"
            f" (lint and types {self.static_cpu / max(run - self.resumed, 1):.2f}),"
            f" {self.setup:.0f} s to set up"
        )

    def run(self) -> bool:
        """Run all combinations; returns True if interrupted by the user."""
        started = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="matrix-"))
        try:
            template = snapshot(ROOT, folder / "template")
            with contextlib.redirect_stdout(io.StringIO()):
                self.prepared = prepare(template, folder / "prepared")
            self.load_record()
            self.warm_up(folder / "warm-up")
            self.setup = time.monotonic() - started
            self.work(folder)
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                self.finish_batches(folder)
            return True
        finally:
            self.forks.stop()
            shutil.rmtree(folder, ignore_errors=True)
            self.seconds = time.monotonic() - started
        return False

    def load_record(self) -> None:
        """Open the record; with ``resume``, keep results that passed with the same template."""
        head = json.dumps({"digest": digest()})
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        if self.settings.resume and lines[:1] == [head]:
            for line in lines[1:]:
                with contextlib.suppress(json.JSONDecodeError):  # truncated
                    result = Result(**json.loads(line))
                    if result.key in self.combinations and not result.failure:
                        result.cpu = 0
                        self.results[result.key] = result
        self.resumed = len(self.results)
        lines = [json.dumps(asdict(result)) for result in self.results.values()]
        self.record.write_text("\n".join([head, *lines]) + "\n")

    def warm_up(self, folder: Path) -> None:
        """Do once what each child would repeat: compile the templates, and import what the tests of
        a service with all needed components import.
        """
        # All cores are busy with children, so threads of numeric libraries would not help.
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # DeepFace selects its engine and creates its folder on import.
        os.environ |= {"DEEPFACE_BACKEND_ENGINE": "onnx", "DEEPFACE_HOME": str(folder)}
        needed = {name for chosen in self.combinations.values() for name in chosen.components}
        combination = everything(without=set(components()) - needed)
        import_all(self.find_imports(combination, folder))
        cache_everything()
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            copier(self.prepared.template, folder / "copier", **combination.answers)
            bake(self.prepared, folder / "bake", combination.answers)
        freeze()

    def find_imports(self, combination: Combination, folder: Path) -> list[str]:
        """The modules that a service's tests import, cached for the same installed packages."""
        cached = self.settings.cache / f"imports-{packages(combination)}.json"
        if cached.exists():
            known: list[str] = json.loads(cached.read_text())
            return known

        def work() -> dict[str, Any]:
            passed = False
            try:
                checks.check(combination, self.prepared, folder / "tests")
                passed = True
            finally:
                # A failure will be reported when the combination is run.
                return {"passed": passed, "modules": third_party(folder)}  # noqa: B012

        self.forks.start("warm-up", work, self.settings.limit)
        outcome = self.forks.wait()
        outcome.log.unlink(missing_ok=True)
        found = outcome.value or {"passed": False, "modules": []}
        if found["passed"]:
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_text(json.dumps(found["modules"]))
        modules: list[str] = found["modules"]
        return modules

    def work(self, folder: Path) -> None:
        queue = deque(c for key, c in self.combinations.items() if key not in self.results)
        progress = Progress(len(self.combinations), self.resumed)
        while queue or self.forks.children or self.waiting:
            while not self.forks.full and self.start_next(queue, folder):
                pass
            self.collect(self.forks.wait())
            progress.show(len(self.results), len(self.failed))
            if self.settings.fail_fast and self.failed:
                break
        progress.end()

    def finish_batches(self, folder: Path) -> None:
        """Kill running combinations, but finish the batches of those that passed so far."""
        print(f"\nStopping after lint and type checks of {len(self.waiting)} …", flush=True)
        for child in list(self.forks.children):
            if not child.key.startswith(STATIC):
                self.forks.kill(child)
        while self.waiting:
            if not self.forks.children:
                self.start_batch(folder)
            self.collect(self.forks.wait())

    def start_next(self, queue: deque[Combination], folder: Path) -> bool:
        """Start the next task, if there is one; returns whether one was started."""
        running = {child.key for child in self.forks.children}
        static_runs = any(key.startswith(STATIC) for key in running)
        last = not queue and not running
        if self.waiting and not static_runs and (len(self.waiting) >= BATCH or last):
            self.start_batch(folder)
            return True
        if queue:
            combination = queue.popleft()
            # One folder per process, so that the next service can reuse its bytecode.
            place = next(p for n in count() if not (p := folder / f"process-{n}").exists())
            place.mkdir()
            self.folders[str(combination)] = place
            self.forks.start(
                str(combination),
                lambda: checks.check(combination, self.prepared, place),
                self.settings.limit,
            )
            return True
        return False

    def start_batch(self, folder: Path) -> None:
        self.batches += 1
        place = folder / f"batch-{self.batches}"
        services = {key: path / "service" for key, (_, path) in self.waiting.items()}
        self.batch = dict(self.waiting)
        self.forks.start(
            f"{STATIC} {self.batches}",
            lambda: static.check_batch(services, self.seen, place, self.settings.cache),
            60 + self.settings.limit * len(services),
        )

    def collect(self, outcome: Outcome) -> None:
        """Record the outcome of a task."""
        if outcome.key.startswith(STATIC):
            self.collect_batch(outcome)
            return
        value: dict[str, Any] = outcome.value or {"tests": 0, "phases": {}}
        result = Result(
            outcome.key,
            self.combinations[outcome.key].levels,
            outcome.failure,
            value["tests"],
            outcome.seconds,
            outcome.cpu,
            outcome.log.name,
            value["phases"],
        )
        place = self.folders.pop(outcome.key)
        if outcome.failure:
            shutil.rmtree(place, ignore_errors=True)
            self.finish(result)
        else:
            target = place.with_name(f"service-{len(self.results) + len(self.waiting)}")
            self.waiting[result.key] = (result, place.rename(target))

    def collect_batch(self, outcome: Outcome) -> None:
        self.static_cpu += outcome.cpu
        if not outcome.failure:
            outcome.log.unlink()
        value = outcome.value or {"failures": {}, "digests": []}
        self.seen.update(value["digests"])
        for key, (result, place) in self.batch.items():
            complaints = value["failures"].get(key, "")
            if complaints:
                result.failure = complaints.splitlines()[0]
                with (self.forks.logs / result.log).open("a") as log:
                    log.write(complaints)
            result.failure = result.failure or outcome.failure
            del self.waiting[key]
            self.finish(result)
            shutil.rmtree(place, ignore_errors=True)

    def finish(self, result: Result) -> None:
        self.results[result.key] = result
        with self.record.open("a") as record:
            record.write(json.dumps(asdict(result)) + "\n")
        if not result.failure:
            (self.forks.logs / result.log).unlink(missing_ok=True)


def third_party(service: Path) -> list[str]:
    """The names of the loaded modules, except the service's own."""
    return [
        name
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
        and not file.startswith(str(service))
        and name.partition(".")[0] not in {"__main__", "app", "tests", "wsgi"}
    ]


def digest() -> str:
    """A digest of the template, its tests and the installed packages."""
    hashed = hashlib.sha256(packages().encode())
    for path in sources((*SOURCES, "tests")):
        hashed.update(path.relative_to(ROOT).as_posix().encode())
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


def packages(*more: object) -> str:
    """A digest of the installed packages and ``more``."""
    found = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions())
    words = [sys.version, *found, *map(str, more)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def sources(names: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        paths = [ROOT / name, *(ROOT / name).rglob("*")]
        found += [p for p in paths if p.is_file() and not is_generated(p)]
    return sorted(found)


def is_generated(path: Path) -> bool:
    return any(part == "__pycache__" or part.endswith("_cache") for part in path.parts)
