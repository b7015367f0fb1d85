"""The format of ``results/latest.json``."""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field

LATEST = Path(__file__).parent / "results" / "latest.json"


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(Document):
    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str


class SystemInfo(Document):
    """A system, and the measurements of its server by model."""

    name: str
    title: str
    setup: str
    versions: dict[str, str] = {}
    unavailable: str | None = None  # the reason if it was not measured
    cold_start_s: dict[str, float] = {}  # until the first response; median
    pss_mb: dict[str, float] = {}  # of all processes after the load; median
    idle_cpu: dict[str, float] = {}  # share of a core without requests; median


class Round(Document):
    """One measurement of a system in a scenario."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_ms: float = Field(description="CPU time of the server's processes per response")
    load_cpu: float = Field(description="share of a core used by the load generator")
    others_cpu: float = Field(default=0.0, description="share of all cores used by other processes")


class Measurement(Document):
    """The rounds of a system in a scenario. Rounds with the same index ran side by side."""

    system: str
    scenario: str
    rounds: list[Round]

    @property
    def requests_per_s(self) -> float:
        return median(r.requests_per_s for r in self.rounds)

    @property
    def p50_ms(self) -> float:
        return median(r.p50_ms for r in self.rounds)

    @property
    def p99_ms(self) -> float:
        return median(r.p99_ms for r in self.rounds)

    @property
    def cpu_ms(self) -> float:
        return median(r.cpu_ms for r in self.rounds)

    @property
    def errors(self) -> int:
        return sum(r.errors for r in self.rounds)


class ScenarioInfo(Document):
    """A scenario."""

    name: str
    title: str
    model: str
    rows: int
    connections: int


class Results(Document):
    format: int = 1
    date: str
    commit: str
    quick: bool
    seed: int
    launches: int
    seconds: float = Field(description="duration of the load in each round")
    bursts: int = Field(description="bursts per round, each with new connections")
    machine: Machine
    scenarios: list[ScenarioInfo]
    systems: list[SystemInfo]
    measurements: list[Measurement]

    def find(self, system: str, scenario: str) -> Measurement | None:
        found = (
            measurement
            for measurement in self.measurements
            if (measurement.system, measurement.scenario) == (system, scenario)
        )
        return next(found, None)

    def system(self, name: str) -> SystemInfo | None:
        return next((system for system in self.systems if system.name == name), None)

    @property
    def errors(self) -> int:
        return sum(measurement.errors for measurement in self.measurements)

    @property
    def others_cpu(self) -> float:
        """Share of all cores used by other processes; median."""
        shares = [r.others_cpu for measurement in self.measurements for r in measurement.rounds]
        return median(shares) if shares else 0.0


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile: of 100 values, 0.99 gives the 99th. 0 without values."""
    if not ordered:
        return 0.0
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def ratio(
    measurement: Measurement,
    other: Measurement,
    of: Callable[[Round], float] = lambda r: r.requests_per_s,
) -> float | None:
    """The median of the ratios of corresponding rounds; None if there is nothing to compare."""
    pairs = zip(measurement.rounds, other.rounds, strict=True)
    ratios = [of(mine) / of(theirs) for mine, theirs in pairs if of(theirs)]
    return median(ratios) if ratios else None


def load(path: Path = LATEST) -> Results:
    return Results.model_validate_json(path.read_text())


def save(results: Results, path: Path = LATEST) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.model_dump_json(indent=1) + "\n")


def medians(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Key → median of its values, rounded to three digits."""
    by_key: dict[str, list[float]] = {}
    for key, value in values:
        by_key.setdefault(key, []).append(value)
    return {key: round(median(listed), 3) for key, listed in by_key.items()}
