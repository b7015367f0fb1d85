"""A run: every system installed, started, checked and loaded, in turns that are shuffled.

The servers of a model are all up at the same time, and idle but for the one that is loaded; so the
turns of a round follow each other within seconds, and what disturbs the machine disturbs all. What
they take of the CPU while they idle is measured, and who takes much is stopped between its turns.
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
    Asked,
    Machine,
    Measurement,
    Participant,
    Results,
    Round,
    medians,
    quantile,
)
from benchmarks.scenarios import Answer, Rows, Scenario, fault, read_answer
from benchmarks.systems import OURS, System

IDLE_SECONDS = 2.0
RESTLESS = 0.02  # of a core
KNOWN = (0, 77, 140)  # single rows that are checked


class WrongAnswerError(Exception):
    """A system answers something else than the model."""


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
    """A system that can be started."""

    system: System
    folder: Path
    commands: dict[str, str]
    environment: dict[str, str]
    versions: dict[str, str]


@dataclass
class Known:
    """Rows, and what is right for them."""

    rows: Rows
    answer: Answer


@dataclass
class Journal:
    """What was measured so far."""

    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=dict)
    cold_start: list[tuple[str, str, float]] = field(default_factory=list)
    pss: list[tuple[str, str, float]] = field(default_factory=list)
    idle: list[tuple[str, str, float]] = field(default_factory=list)

    def of(self, values: list[tuple[str, str, float]], system: str) -> dict[str, float]:
        return medians((model, value) for name, model, value in values if name == system)


def measure(plan: Plan) -> Results:
    components = environments.written_components()
    service, ours = environments.make_ours(plan.cache, components)
    names = {"sklearn": "iris", "torch": "mlp"}
    models = [names[component] for component in components if component in names]
    installed, missing = install(plan, service, ours)
    known = export(plan.cache, service, ours, models)
    scenarios = [one for one in plan.scenarios if one.model in models]
    journal = Journal()
    shuffle = random.Random(plan.seed)
    for launch in range(plan.launches):
        for model in models:
            of_model = [one for one in scenarios if one.model == model]
            if of_model:
                print(f"→ {model}, start {launch + 1} of {plan.launches}", flush=True)
                run_model(plan, installed, of_model, known[model], journal, shuffle)
    return Results(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit(),
        quick=plan.quick,
        seed=plan.seed,
        launches=plan.launches,
        seconds=plan.seconds,
        bursts=plan.bursts,
        machine=machine(),
        scenarios=[
            Asked(
                name=one.name,
                title=one.title,
                model=one.model,
                rows=one.rows,
                connections=one.connections,
            )
            for one in scenarios
        ],
        systems=[describe(one, installed, missing, journal) for one in plan.systems],
        measurements=[
            Measurement(system=system, scenario=scenario, rounds=rounds)
            for (system, scenario), rounds in journal.rounds.items()
        ],
    )


def install(plan: Plan, service: Path, ours: Path) -> tuple[dict[str, Installed], dict[str, str]]:
    """The systems that have a server of their own; and why others are missing."""
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


def export(cache: Path, service: Path, ours: Path, models: list[str]) -> dict[str, Known]:
    folder = cache / "models"
    script = str(Path(__file__).parent / "export.py")
    python = str(environments.bin_of(ours) / "python")
    environments.run(
        [python, script, str(service), str(folder), *models],
        environment={"PYTHONPATH": str(PEERS), "MODELS": str(folder)},
    )
    known = {}
    for model in models:
        document = json.loads((folder / f"{model}.json").read_text())
        answer = [(index, confidence) for index, confidence in document["answer"]]
        known[model] = Known(document["rows"], answer)
    return known


def run_model(
    plan: Plan,
    installed: dict[str, Installed],
    scenarios: list[Scenario],
    known: Known,
    journal: Journal,
    shuffle: random.Random,
) -> None:
    """Start the servers of a model, and let each system have its turns."""
    model = scenarios[0].model
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        of_model = [name for name, one in installed.items() if model in one.commands]
        for name in shuffle.sample(of_model, len(of_model)):
            servers[name] = stack.enter_context(started(installed[name], scenarios[0], known))
            journal.cold_start.append((name, model, servers[name].cold_start))
        systems = [one for one in plan.systems if one.server in servers]
        for system in systems:
            for scenario in scenarios:
                if system.takes_part(scenario):
                    port = servers[system.server].port
                    check(system, scenario, port, known)
                    send(system, scenario, port, known, plan.seconds / 2, 1)
        watch_idle(servers, model, journal)
        for _ in range(plan.rounds):
            for scenario in shuffle.sample(scenarios, len(scenarios)):
                for system in shuffle.sample(systems, len(systems)):
                    if system.takes_part(scenario):
                        with others_at_rest(servers, system.server, journal):
                            one = take_turn(plan, system, scenario, servers[system.server], known)
                        journal.rounds.setdefault((system.name, scenario.name), []).append(one)
                        print(f"  {line(system, scenario, one)}", flush=True)
        for name, server in servers.items():
            journal.pss.append((name, model, server.pss()))


def take_turn(
    plan: Plan, system: System, scenario: Scenario, server: Server, known: Known
) -> Round:
    check(system, scenario, server.port, known)
    cpu, busy, begun = server.cpu(), busy_seconds(), time.perf_counter()
    sample = send(system, scenario, server.port, known, plan.seconds, plan.bursts)
    cpu, busy = server.cpu() - cpu, busy_seconds() - busy
    cores = len(os.sched_getaffinity(0))
    others = (busy - cpu - sample.load_cpu) / (time.perf_counter() - begun) / cores
    return summarise(sample, cpu, others)


@contextmanager
def others_at_rest(servers: dict[str, Server], active: str, journal: Journal) -> Iterator[None]:
    """Stop the servers that take CPU with nothing to do, but for the one whose turn it is."""
    restless = {name for name, _, share in journal.idle if share > RESTLESS}
    with ExitStack() as stack:
        for name in restless & servers.keys() - {active}:
            stack.enter_context(servers[name].paused())
        yield


@contextmanager
def started(one: Installed, scenario: Scenario, known: Known) -> Iterator[Server]:
    form = one.system.form(scenario)
    body = form.encode(known.rows[: scenario.rows])
    environment = dict(one.environment)
    if one.system.peer == "mlserver":
        environment |= mlserver_ports()
    ask = (form.path, body, form.content_type)
    with start(one.commands[scenario.model], one.folder, environment, ask) as server:
        yield server


def check(system: System, scenario: Scenario, port: int, known: Known) -> None:
    """Ask for known rows; ``WrongAnswerError``."""
    form = system.form(scenario)
    starts = [0] if scenario.rows > 1 else list(KNOWN)
    for first in starts:
        rows = known.rows[first : first + scenario.rows]
        request = load.build_request(form.path, form.encode(rows), form.content_type)
        sample = load.burst(port, request, 1, 0)
        answer = known.answer[first : first + scenario.rows]
        compare(system, scenario, sample, answer)


def send(
    system: System, scenario: Scenario, port: int, known: Known, seconds: float, bursts: int
) -> load.Sample:
    """Load the system, and check the last answer of each connection; ``WrongAnswerError``."""
    form = system.form(scenario)
    body = form.encode(known.rows[: scenario.rows])
    request = load.build_request(form.path, body, form.content_type)
    gc.collect()
    gc.disable()
    try:
        sample = load.run(port, request, scenario.connections, seconds, bursts)
    finally:
        gc.enable()
    if not sample.errors:
        compare(system, scenario, sample, known.answer[: scenario.rows])
    return sample


def compare(system: System, scenario: Scenario, sample: load.Sample, expected: Answer) -> None:
    if sample.errors:
        raise WrongAnswerError(
            f"{system.title} ({scenario.title}) answers {sample.last[0][:300]!r}"
        )
    for body in set(sample.last):
        try:
            wrong = fault(read_answer(body), expected)
        except ValueError as error:
            wrong = str(error)
        if wrong:
            raise WrongAnswerError(f"{system.title} ({scenario.title}) is wrong: {wrong}")


def summarise(sample: load.Sample, cpu: float, others: float) -> Round:
    """``cpu``: seconds of the server's processes; ``others``: of all cores, what is not ours."""
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


def line(system: System, scenario: Scenario, one: Round) -> str:
    faults = f", {one.errors} errors" if one.errors else ""
    rate = f"{one.requests_per_s:9.0f}/s  p50 {one.p50_ms:8.2f}  p99 {one.p99_ms:8.2f} ms"
    rate += f"  CPU {one.cpu_ms:7.2f} ms"
    return f"{scenario.name:14} {system.name:14} {rate}{faults}"


def watch_idle(servers: dict[str, Server], model: str, journal: Journal) -> None:
    time.sleep(1)
    before = {name: server.cpu() for name, server in servers.items()}
    time.sleep(IDLE_SECONDS)
    for name, server in servers.items():
        journal.idle.append((name, model, (server.cpu() - before[name]) / IDLE_SECONDS))


def describe(
    system: System, installed: dict[str, Installed], missing: dict[str, str], journal: Journal
) -> Participant:
    found = installed.get(system.server)
    return Participant(
        name=system.name,
        title=system.title,
        setup=system.setup,
        versions=found.versions if found and not system.variant_of else {},
        unavailable=missing.get(system.server),
        cold_start_s=journal.of(journal.cold_start, system.name),
        pss_mb=journal.of(journal.pss, system.name),
        idle_cpu=journal.of(journal.idle, system.name),
    )


def machine() -> Machine:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((one.split(":", 1)[1].strip() for one in lines if "model name" in one), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(memory, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def commit() -> str:
    """The short hash of what was measured, with a + where files differ from it."""
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
