"""Runs combinations on the fork server and keeps what came of each."""

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
from tests.combinations import ROOT, Combination, components
from tests.combinations import everything as all_components
from tests.combinations import render as copier
from tests.engines import SOURCES, Prepared, bake, prepare, snapshot
from tests.matrix import checks, static
from tests.matrix.forks import Forks, Outcome, freeze, import_all
from tests.matrix.once import work_once
from tests.matrix.progress import Progress

#: Services whose types are checked in one program.
BATCH = 16
STATIC = "lint, format and types, batch"


@dataclass(frozen=True)
class Settings:
    """What does not change while the matrix runs; times in seconds."""

    jobs: int
    limit: float
    report: Path
    cache: Path
    resume: bool = False
    fail_fast: bool = False


@dataclass
class Result:
    """What came of one combination. ``failure`` is empty where it passed."""

    key: str
    levels: dict[str, str]
    failure: str
    tests: int
    seconds: float
    cpu: float
    log: str
    phases: dict[str, float] = field(default_factory=dict)


class Matrix:
    """A run over ``combinations``."""

    def __init__(self, combinations: list[Combination], settings: Settings) -> None:
        self.combinations = {str(combination): combination for combination in combinations}
        self.settings = settings
        self.results: dict[str, Result] = {}
        self.kept = 0
        self.waiting: dict[str, tuple[Result, Path]] = {}
        """Passed on their own; their batch's lint and types are still to come."""
        self.places: dict[str, Path] = {}
        """Where the combinations that run are rendered to."""
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
        """Whether every combination that was expected ran and passed."""
        ran = self.results.keys() == self.combinations.keys()
        return ran and not self.failed and not self.drift

    @property
    def drift(self) -> str:
        """What cookiecutter.json lacks of copier.yml; nothing where it follows."""
        text = cookiecutter_json.PATH.read_text("utf-8")
        follows = text == cookiecutter_json.text()
        return "" if follows else "cookiecutter.json does not follow from copier.yml"

    def summary(self) -> str:
        expected, run, failed = len(self.combinations), len(self.results), len(self.failed)
        cpu = sum(result.cpu for result in self.results.values()) + self.static_cpu
        return (
            f"Combinations: {expected} expected, {run} run, {run - failed} passed"
            + (f" ({self.kept} of them in an earlier run)" if self.kept else "")
            + f", with {sum(result.tests for result in self.results.values())} tests of their own."
            f"\n  {self.seconds:.0f} s; {cpu / max(run - self.kept, 1):.2f} core-seconds each"
            f" (lint and types {self.static_cpu / max(run - self.kept, 1):.2f}),"
            f" {self.setup:.0f} s to set up"
        )

    def run(self) -> bool:
        """Run all; True where the user stopped it."""
        started = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="matrix-"))
        try:
            template = snapshot(ROOT, folder / "template")
            with contextlib.redirect_stdout(io.StringIO()):
                self.prepared = prepare(template, folder / "prepared")
            self.begin()
            self.rehearse(folder / "rehearsal")
            self.setup = time.monotonic() - started
            self.work(folder)
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                self.settle(folder)
            return True
        finally:
            self.forks.stop()
            shutil.rmtree(folder, ignore_errors=True)
            self.seconds = time.monotonic() - started
        return False

    def begin(self) -> None:
        """Open the record; with ``resume``, take over what passed with this very template."""
        head = json.dumps({"digest": digest()})
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        if self.settings.resume and lines[:1] == [head]:
            for line in lines[1:]:
                with contextlib.suppress(json.JSONDecodeError):  # cut off while it was written
                    result = Result(**json.loads(line))
                    if result.key in self.combinations and not result.failure:
                        result.cpu = 0
                        self.results[result.key] = result
        self.kept = len(self.results)
        kept = [json.dumps(asdict(result)) for result in self.results.values()]
        self.record.write_text("\n".join([head, *kept]) + "\n")

    def rehearse(self, folder: Path) -> None:
        """Do here, once, what all children would do again: compile the templates, and import what
        a service with all components that are to be tested imports in the course of its tests.
        """
        # The cores are taken: threads of numeric libraries would only spin beside each other.
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # DeepFace chooses its engine, and makes its folder, when it is imported.
        os.environ |= {"DEEPFACE_BACKEND_ENGINE": "onnx", "DEEPFACE_HOME": str(folder)}
        needed = {name for chosen in self.combinations.values() for name in chosen.components}
        everything = all_components(without=set(components()) - needed)
        import_all(self.find_imports(everything, folder))
        work_once()
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            copier(self.prepared.template, folder / "copier", **everything.answers)
            bake(self.prepared, folder / "bake", everything.answers)
        freeze()

    def find_imports(self, everything: Combination, folder: Path) -> list[str]:
        """What the tests of a service import; kept, for with the same packages it is the same."""
        kept = self.settings.cache / f"imports-{packages(everything)}.json"
        if kept.exists():
            known: list[str] = json.loads(kept.read_text())
            return known

        def work() -> dict[str, Any]:
            passed = False
            try:
                checks.check(everything, self.prepared, folder / "tests")
                passed = True
            finally:
                # What fails here will fail again.
                return {"passed": passed, "modules": third_party(folder)}  # noqa: B012

        self.forks.start("rehearsal", work, self.settings.limit)
        rehearsal = self.forks.wait()
        rehearsal.log.unlink(missing_ok=True)
        found = rehearsal.value or {"passed": False, "modules": []}
        if found["passed"]:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found["modules"]))
        modules: list[str] = found["modules"]
        return modules

    def work(self, folder: Path) -> None:
        queue = deque(c for key, c in self.combinations.items() if key not in self.results)
        progress = Progress(len(self.combinations), self.kept)
        while queue or self.forks.children or self.waiting:
            while not self.forks.full and self.start_next(queue, folder):
                pass
            self.take(self.forks.wait())
            progress.show(len(self.results), len(self.failed))
            if self.settings.fail_fast and self.failed:
                break
        progress.end()

    def settle(self, folder: Path) -> None:
        """Drop what runs, and finish what only waits for its batch, so that it is kept."""
        print(f"\nStopping, once lint and types of {len(self.waiting)} are done …", flush=True)
        for child in list(self.forks.children):
            if not child.key.startswith(STATIC):
                self.forks.kill(child)
        while self.waiting:
            if not self.forks.children:
                self.start_batch(folder)
            self.take(self.forks.wait())

    def start_next(self, queue: deque[Combination], folder: Path) -> bool:
        """Start what is next, if anything can be."""
        running = {child.key for child in self.forks.children}
        static_runs = any(key.startswith(STATIC) for key in running)
        last = not queue and not running
        if self.waiting and not static_runs and (len(self.waiting) >= BATCH or last):
            self.start_batch(folder)
            return True
        if queue:
            combination = queue.popleft()
            # One place a process: what is compiled there is good for the next service.
            place = next(p for n in count() if not (p := folder / f"place-{n}").exists())
            place.mkdir()
            self.places[str(combination)] = place
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

    def take(self, outcome: Outcome) -> None:
        """Book what ended."""
        if outcome.key.startswith(STATIC):
            self.take_batch(outcome)
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
        place = self.places.pop(outcome.key)
        if outcome.failure:
            shutil.rmtree(place, ignore_errors=True)
            self.finish(result)
        else:
            kept = place.with_name(f"service-{len(self.results) + len(self.waiting)}")
            self.waiting[result.key] = (result, place.rename(kept))

    def take_batch(self, outcome: Outcome) -> None:
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
    """The modules that are loaded now, without the service's own."""
    return [
        name
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
        and not file.startswith(str(service))
        and name.partition(".")[0] not in {"__main__", "app", "tests", "wsgi"}
    ]


def digest() -> str:
    """Of all that decides what passes: the template, what checks it, and what is installed."""
    hashed = hashlib.sha256(packages().encode())
    for path in sources((*SOURCES, "tests")):
        hashed.update(path.relative_to(ROOT).as_posix().encode())
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


def packages(*more: object) -> str:
    """A digest of what is installed, and of more."""
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
