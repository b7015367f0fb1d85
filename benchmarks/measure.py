"""Installs, starts, verifies and loads every system, in shuffled order.

All servers of a model run at the same time, but only one is under load, so the measurements of a
round follow each other within seconds and disturbances affect all systems. Servers that use much
CPU while idle are paused between their turns.
"""

import gc
import json
import os
import platform
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environments, load
from benchmarks.environments import PEERS, ROOT, SECRETS, InstallError, with_path
from benchmarks.processes import Server, busy_seconds, start
from benchmarks.results import (
    Machine,
    Measurement,
    Results,
    Round,
    ScenarioInfo,
    SystemInfo,
    medians,
    quantile,
)
from benchmarks.scenarios import Answer, Rows, Scenario, find_mismatch, read_answer
from benchmarks.systems import OURS, System

IDLE_SECONDS = 2.0
IDLE_CPU_LIMIT = 0.02  # of a core; servers above it are paused
CHECKED_ROWS = (0, 77, 140)  # verified one by one


class WrongAnswerError(Exception):
    """A system's prediction differs from the model's."""


@dataclass(frozen=True)
class Plan:
    systems: list[System]
    scenarios: list[Scenario]
    rounds: int
    launches: int
    seconds: float
    bursts: int
    seed: int
    quick: bool
    cache: Path


@dataclass
class Installed:
    """An installed system."""

    system: System
    folder: Path
    commands: dict[str, str]
    environment: dict[str, str]
    versions: dict[str, str]


@dataclass
class Reference:
    """Sample rows and their expected predictions."""

    rows: Rows
    answer: Answer


@dataclass
class Recorder:
    """The measurements so far."""

    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=dict)
    cold_start: list[tuple[str, str, float]] = field(default_factory=list)
    pss: list[tuple[str, str, float]] = field(default_factory=list)
    idle: list[tuple[str, str, float]] = field(default_factory=list)

    def of(self, values: list[tuple[str, str, float]], system: str) -> dict[str, float]:
        return medians((model, value) for name, model, value in values if name == system)


def measure(plan: Plan) -> Results:
    components = environments.existing_components()
    service, ours = environments.make_service(plan.cache, components)
    names = {"sklearn": "iris", "torch": "mlp"}
    models = [names[component] for component in components if component in names]
    installed, missing = install(plan, service, ours)
    reference = export(plan.cache, service, ours, models)
    scenarios = [scenario for scenario in plan.scenarios if scenario.model in models]
    recorder = Recorder()
    shuffle = random.Random(plan.seed)
    for launch in range(plan.launches):
        for model in models:
            of_model = [scenario for scenario in scenarios if scenario.model == model]
            if of_model:
                print(f"→ {model}, start {launch + 1} of {plan.launches}", flush=True)
                measure_model(plan, installed, of_model, reference[model], recorder, shuffle)
    return Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit(),
        quick=plan.quick,
        seed=plan.seed,
        launches=plan.launches,
        seconds=plan.seconds,
        bursts=plan.bursts,
        machine=machine(),
        scenarios=[describe_scenario(scenario) for scenario in scenarios],
        systems=[describe(system, installed, missing, recorder) for system in plan.systems],
        measurements=[
            Measurement(system=system, scenario=scenario, rounds=rounds)
            for (system, scenario), rounds in recorder.rounds.items()
        ],
    )


def install(plan: Plan, service: Path, ours: Path) -> tuple[dict[str, Installed], dict[str, str]]:
    """Install the systems with their own server; also returns why others could not be installed."""
    found: dict[str, Installed] = {}
    missing: dict[str, str] = {}
    models = plan.cache / "models"
    for system in plan.systems:
        if system.variant_of:
            continue
        if system.name == OURS:
            command = environments.web_command(service)
            environment = SECRETS | with_path(ours) | {"WEB_CONCURRENCY": "2", "HOST": "127.0.0.1"}
            commands = {"iris": command, "mlp": command}
            versions = environments.versions_of(ours)
            found[OURS] = Installed(system, service, commands, environment, versions)
            continue
        try:
            place = environments.make_peer(system.peer, plan.cache)
        except InstallError as error:
            missing[system.name] = f"cannot be installed: {error}"
            print(f"  {system.title} {missing[system.name]}", flush=True)
            continue
        given = {
            name: value.replace("$MODELS", str(models))
            for name, value in system.environment.items()
        }
        environment = with_path(place) | given
        environment |= {"MODELS": str(models), "PYTHONPATH": f"{PEERS}:{PEERS / system.peer}"}
        versions = environments.versions_of(place)
        found[system.name] = Installed(
            system, PEERS / system.peer, dict(system.commands), environment, versions
        )
    return found, missing


def export(cache: Path, service: Path, ours: Path, models: list[str]) -> dict[str, Reference]:
    folder = cache / "models"
    script = str(Path(__file__).parent / "export.py")
    python = str(environments.bin_of(ours) / "python")
    environments.run(
        [python, script, str(service), str(folder), *models],
        environment={"PYTHONPATH": str(PEERS), "MODELS": str(folder)},
    )
    reference = {}
    for model in models:
        document = json.loads((folder / f"{model}.json").read_text())
        answer = [(index, confidence) for index, confidence in document["answer"]]
        reference[model] = Reference(document["rows"], answer)
    return reference


def measure_model(
    plan: Plan,
    installed: dict[str, Installed],
    scenarios: list[Scenario],
    reference: Reference,
    recorder: Recorder,
    shuffle: random.Random,
) -> None:
    """Start the servers of a model and measure each system in all rounds."""
    model = scenarios[0].model
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        of_model = [name for name, system in installed.items() if model in system.commands]
        for name in shuffle.sample(of_model, len(of_model)):
            servers[name] = stack.enter_context(started(installed[name], scenarios[0], reference))
            recorder.cold_start.append((name, model, servers[name].cold_start))
        systems = [system for system in plan.systems if system.server in servers]
        for system in systems:
            for scenario in scenarios:
                if system.supports(scenario):
                    port = servers[system.server].port
                    check(system, scenario, port, reference)
                    send(system, scenario, port, reference, plan.seconds / 2, 1)
        measure_idle(servers, model, recorder)
        for _ in range(plan.rounds):
            for scenario in shuffle.sample(scenarios, len(scenarios)):
                for system in shuffle.sample(systems, len(systems)):
                    if system.supports(scenario):
                        with pause_others(servers, system.server, recorder):
                            result = measure_round(
                                plan, system, scenario, servers[system.server], reference
                            )
                        recorder.rounds.setdefault((system.name, scenario.name), []).append(result)
                        print(f"  {line(system, scenario, result)}", flush=True)
        for name, server in servers.items():
            recorder.pss.append((name, model, server.pss()))


def measure_round(
    plan: Plan, system: System, scenario: Scenario, server: Server, reference: Reference
) -> Round:
    check(system, scenario, server.port, reference)
    cpu, busy, started_at = server.cpu(), busy_seconds(), time.perf_counter()
    sample = send(system, scenario, server.port, reference, plan.seconds, plan.bursts)
    cpu, busy = server.cpu() - cpu, busy_seconds() - busy
    cores = len(os.sched_getaffinity(0))
    others = (busy - cpu - sample.load_cpu) / (time.perf_counter() - started_at) / cores
    return summarise(sample, cpu, others)


@contextmanager
def pause_others(servers: dict[str, Server], active: str, recorder: Recorder) -> Iterator[None]:
    """Pause servers that use CPU while idle, except the active one."""
    busy = {name for name, _, share in recorder.idle if share > IDLE_CPU_LIMIT}
    with ExitStack() as stack:
        for name in busy & servers.keys() - {active}:
            stack.enter_context(servers[name].paused())
        yield


@contextmanager
def started(installed: Installed, scenario: Scenario, reference: Reference) -> Iterator[Server]:
    form = installed.system.form(scenario)
    body = form.encode(reference.rows[: scenario.rows])
    environment = dict(installed.environment)
    if installed.system.peer == "mlserver":
        environment |= mlserver_ports()
    probe = (form.path, body, form.content_type)
    with start(installed.commands[scenario.model], installed.folder, environment, probe) as server:
        yield server


def check(system: System, scenario: Scenario, port: int, reference: Reference) -> None:
    """Verify the predictions for reference rows; raises ``WrongAnswerError``."""
    form = system.form(scenario)
    starts = [0] if scenario.rows > 1 else list(CHECKED_ROWS)
    for first in starts:
        rows = reference.rows[first : first + scenario.rows]
        request = load.build_request(form.path, form.encode(rows), form.content_type)
        sample = load.burst(port, request, 1, 0)
        answer = reference.answer[first : first + scenario.rows]
        compare(system, scenario, sample, answer)


def send(
    system: System, scenario: Scenario, port: int, reference: Reference, seconds: float, bursts: int
) -> load.Sample:
    """Load a system and verify the last responses; raises ``WrongAnswerError``."""
    form = system.form(scenario)
    body = form.encode(reference.rows[: scenario.rows])
    request = load.build_request(form.path, body, form.content_type)
    gc.collect()
    gc.disable()
    try:
        sample = load.run(port, request, scenario.connections, seconds, bursts)
    finally:
        gc.enable()
    if not sample.errors:
        compare(system, scenario, sample, reference.answer[: scenario.rows])
    return sample


def compare(system: System, scenario: Scenario, sample: load.Sample, expected: Answer) -> None:
    if sample.errors:
        raise WrongAnswerError(
            f"{system.title} ({scenario.title}) answers {sample.last[0][:300]!r}"
        )
    for body in set(sample.last):
        try:
            wrong = find_mismatch(read_answer(body), expected)
        except ValueError as error:
            wrong = str(error)
        if wrong:
            raise WrongAnswerError(f"{system.title} ({scenario.title}) is wrong: {wrong}")


def summarise(sample: load.Sample, cpu: float, others: float) -> Round:
    """Summarise a round.

    Args:
        cpu: CPU seconds of the server's processes.
        others: share of all cores that other processes used.
    """
    ordered = sorted(sample.latencies)
    return Round(
        requests_per_s=round(sample.answers / sample.seconds, 1),
        p50_ms=round(quantile(ordered, 0.5) * 1000, 3),
        p99_ms=round(quantile(ordered, 0.99) * 1000, 3),
        errors=sample.errors,
        cpu_ms=round(cpu * 1000 / max(1, len(ordered)), 3),
        load_cpu=round(sample.load_cpu / sample.seconds, 3),
        others_cpu=round(max(0.0, others), 3),
    )


def line(system: System, scenario: Scenario, result: Round) -> str:
    errors = f", {result.errors} errors" if result.errors else ""
    rate = f"{result.requests_per_s:9.0f}/s  p50 {result.p50_ms:8.2f}  p99 {result.p99_ms:8.2f} ms"
    rate += f"  CPU {result.cpu_ms:7.2f} ms"
    return f"{scenario.name:14} {system.name:14} {rate}{errors}"


def measure_idle(servers: dict[str, Server], model: str, recorder: Recorder) -> None:
    time.sleep(1)
    before = {name: server.cpu() for name, server in servers.items()}
    time.sleep(IDLE_SECONDS)
    for name, server in servers.items():
        recorder.idle.append((name, model, (server.cpu() - before[name]) / IDLE_SECONDS))


def describe_scenario(scenario: Scenario) -> ScenarioInfo:
    return ScenarioInfo(
        name=scenario.name,
        title=scenario.title,
        model=scenario.model,
        rows=scenario.rows,
        connections=scenario.connections,
    )


def describe(
    system: System, installed: dict[str, Installed], missing: dict[str, str], recorder: Recorder
) -> SystemInfo:
    found = installed.get(system.server)
    return SystemInfo(
        name=system.name,
        title=system.title,
        setup=system.setup,
        versions=found.versions if found and not system.variant_of else {},
        unavailable=missing.get(system.server),
        cold_start_s=recorder.of(recorder.cold_start, system.name),
        pss_mb=recorder.of(recorder.pss, system.name),
        idle_cpu=recorder.of(recorder.idle, system.name),
    )


def machine() -> Machine:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(memory, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def commit() -> str:
    """The short hash of the current commit, with a ``+`` if there are uncommitted changes."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    paths = ["template", "copier.yml", "benchmarks", ":!benchmarks/results"]
    changes = subprocess.run(
        [*git, "status", "--porcelain", "--", *paths], capture_output=True, text=True
    )
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


def mlserver_ports() -> dict[str, str]:
    from benchmarks.processes import free_port

    return {
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
    }
