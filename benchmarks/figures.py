"""Compares the results with the performance targets of this template."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import Measurement, Results, Round, ratio
from benchmarks.systems import FASTAPI, MOSEC_TUNED, OURS, OURS_NPY, SAMPLE, SYSTEMS, TUNED


@dataclass(frozen=True)
class Figure:
    """A target. ``measured`` and ``met`` are None if the results lack a needed measurement."""

    text: str
    bar: str
    measured: float | None
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def p50(measured: Round) -> float:
    return measured.p50_ms


def p99(measured: Round) -> float:
    return measured.p99_ms


def requests_per_s(measured: Round) -> float:
    return measured.requests_per_s


def figures(results: Results) -> list[Figure]:
    iris, alone, mlp = "iris-1-at-32", "iris-1-at-1", "mlp-1-at-32"
    return [
        at_least(results, iris, SAMPLE, 4.5),
        at_least(results, iris, FASTAPI, 2.2),
        ahead_of_all(results, iris),
        at_most(results, alone, SAMPLE, 0.5, p50, "p50"),
        at_most(results, iris, FASTAPI, 1, p99, "p99"),
        *bulk_figures(results, "iris-512-at-16"),
        *bulk_figures(results, "mlp-512-at-16"),
        at_least(results, mlp, SAMPLE, 2.5),
        at_least(results, mlp, FASTAPI, 1.2),
        at_most(results, mlp, FASTAPI, 1, p99, "p99"),
        memory(results, 0.5),
    ]


def bulk_figures(results: Results, bulk: str) -> list[Figure]:
    return [
        at_least(results, bulk, SAMPLE, 4),
        at_least(results, bulk, SAMPLE, 6, OURS_NPY),
        at_least(results, bulk, FASTAPI, 3.5),
        at_least(results, bulk, MOSEC_TUNED, 1.2),
        at_most(results, bulk, FASTAPI, 1, p99, "p99"),
    ]


def compare(
    results: Results, scenario: str, other: str, of: Callable[[Round], float], system: str = OURS
) -> float | None:
    mine, theirs = results.find(system, scenario), results.find(other, scenario)
    return ratio(mine, theirs, of) if mine and theirs else None


def title_of(results: Results, scenario: str) -> str:
    return next((s.title for s in results.scenarios if s.name == scenario), scenario)


def name_of(results: Results, system: str) -> str:
    found = results.system(system)
    return found.title if found else system


def at_least(results: Results, scenario: str, other: str, bar: float, system: str = OURS) -> Figure:
    found = compare(results, scenario, other, requests_per_s, system)
    title = title_of(results, scenario) + (", as arrays" if system == OURS_NPY else "")
    text = f"{title}: requests/s against {name_of(results, other)}"
    return Figure(text, f"≥ {bar:g} ×", found, None if found is None else found >= bar)


def at_most(
    results: Results,
    scenario: str,
    other: str,
    bar: float,
    of: Callable[[Round], float],
    what: str,
) -> Figure:
    found = compare(results, scenario, other, of)
    text = f"{title_of(results, scenario)}: {what} against {name_of(results, other)}"
    return Figure(text, f"≤ {bar:g} ×", found, None if found is None else found <= bar)


def ahead_of_all(results: Results, scenario: str) -> Figure:
    """Compare with the fastest peer in its documented setup, if all of them were measured."""
    text = f"{title_of(results, scenario)}: requests/s against the fastest peer as documented"
    peers = [system for system in SYSTEMS if system.peer and system.name not in TUNED]
    missing = {system.name for system in results.systems if system.unavailable}
    measured = {peer.name: results.find(peer.name, scenario) for peer in peers}
    others = [measurement for measurement in measured.values() if measurement]
    mine = results.find(OURS, scenario)
    absent = {name for name, measurement in measured.items() if measurement is None} - missing
    if mine is None or not others or absent:
        return Figure(text, "> 1 ×", None, None)
    fastest: Measurement = max(others, key=lambda measurement: measurement.requests_per_s)
    found = ratio(mine, fastest)
    text = f"{text}, {name_of(results, fastest.system)}"
    return Figure(text, "> 1 ×", found, found is not None and found > 1)


def memory(results: Results, bar: float) -> Figure:
    mine, theirs = results.system(OURS), results.system(SAMPLE)
    text = f"MLP: memory of two workers (PSS) against {name_of(results, SAMPLE)}"
    if not (mine and theirs and "mlp" in mine.pss_mb and "mlp" in theirs.pss_mb):
        return Figure(text, f"≤ {bar:g} ×", None, None)
    found = mine.pss_mb["mlp"] / theirs.pss_mb["mlp"]
    return Figure(text, f"≤ {bar:g} ×", found, found <= bar)
