"""What a run measured, as it stands in ``results/latest.json``."""

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


class Participant(Document):
    """A system, and what was measured of its server as a whole, by model."""

    name: str
    title: str
    setup: str
    versions: dict[str, str] = {}
    unavailable: str | None = None  # why it did not take part
    cold_start_s: dict[str, float] = {}  # from the start to the first answer; median
    pss_mb: dict[str, float] = {}  # of all processes, after the load; median
    idle_cpu: dict[str, float] = {}  # of a core, with no request


class Round(Document):
    """One turn of a system in a scenario."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_ms: float = Field(description="of the server's processes, for an answer")
    load_cpu: float = Field(description="of a core, that the load took")
    others_cpu: float = Field(
        default=0.0, description="of all cores, that anything else took meanwhile"
    )


class Measurement(Document):
    """A system in a scenario; its rounds are those of the same place in other systems."""

    system: str
    scenario: str
    rounds: list[Round]

    @property
    def requests_per_s(self) -> float:
        return median(one.requests_per_s for one in self.rounds)

    @property
    def p50_ms(self) -> float:
        return median(one.p50_ms for one in self.rounds)

    @property
    def p99_ms(self) -> float:
        return median(one.p99_ms for one in self.rounds)

    @property
    def cpu_ms(self) -> float:
        return median(one.cpu_ms for one in self.rounds)

    @property
    def errors(self) -> int:
        return sum(one.errors for one in self.rounds)


class Asked(Document):
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
    seconds: float = Field(description="of load in each round")
    bursts: int = Field(description="of a round, each with new connections")
    machine: Machine
    scenarios: list[Asked]
    systems: list[Participant]
    measurements: list[Measurement]

    def find(self, system: str, scenario: str) -> Measurement | None:
        found = (
            one for one in self.measurements if (one.system, one.scenario) == (system, scenario)
        )
        return next(found, None)

    def system(self, name: str) -> Participant | None:
        return next((one for one in self.systems if one.name == name), None)

    @property
    def errors(self) -> int:
        return sum(one.errors for one in self.measurements)

    @property
    def others_cpu(self) -> float:
        """Of all cores, that had nothing to do with the benchmark; median."""
        shares = [one.others_cpu for measured in self.measurements for one in measured.rounds]
        return median(shares) if shares else 0.0


def quantile(ordered: list[float], share: float) -> float:
    """The nearest rank: of 100 values, 0.99 gives the 99th. 0 where there is none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def ratio(
    one: Measurement, other: Measurement, of: Callable[[Round], float] = lambda r: r.requests_per_s
) -> float | None:
    """The median of the ratios of the same rounds; None where nothing can be compared."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    ratios = [of(mine) / of(theirs) for mine, theirs in pairs if of(theirs)]
    return median(ratios) if ratios else None


def load(path: Path = LATEST) -> Results:
    return Results.model_validate_json(path.read_text())


def save(results: Results, path: Path = LATEST) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.model_dump_json(indent=1) + "\n")


def medians(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Key → median of its values, rounded to what is worth reading."""
    by_key: dict[str, list[float]] = {}
    for key, value in values:
        by_key.setdefault(key, []).append(value)
    return {key: round(median(all_of_it), 3) for key, all_of_it in by_key.items()}
