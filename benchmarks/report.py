"""Reports of the results for the terminal and the two READMEs."""

import re
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.figures import Figure, figures
from benchmarks.results import LATEST, Measurement, Results, SystemInfo, ratio
from benchmarks.systems import FASTAPI, MOSEC_TUNED, SAMPLE

HERE = Path(__file__).parent
CHART = LATEST.with_suffix(".svg")
README, DETAILS = HERE.parent / "README.md", HERE / "README.md"
COMPARED = ((SAMPLE, "× sample code"), (FASTAPI, "× FastAPI"), (MOSEC_TUNED, "× mosec tuned"))
DISTURBED = 0.05  # share of all cores used by other processes
PACKAGES = (
    *("bentoml", "fastapi", "flask", "granian", "gunicorn", "litserve", "mlserver", "mosec"),
    *("numpy", "onnxruntime", "pydantic", "scikit-learn", "torch", "uvicorn"),
)


def write(results: Results) -> None:
    """Update the chart and the measurements in both READMEs."""
    CHART.write_text(draw(results))
    fill(README, summary(results))
    fill(DETAILS, details(results))


def fill(page: Path, content: str) -> None:
    page.write_text(filled(page.read_text(), content))


def filled(page: str, content: str) -> str:
    """Replace what is between a page's markers with ``content``."""
    begin, end = "<!-- measured -->", "<!-- /measured -->"
    new, count = re.subn(
        f"{begin}.*{end}", lambda _: f"{begin}\n\n{content}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError("the page has no markers for the measurements")
    return new


def describe(results: Results) -> str:
    """A report for the terminal: the targets, and problems of the run."""
    lines = [describe_figure(figure) for figure in figures(results)]
    lines += [
        f"{system.title}: {system.unavailable}"
        for system in results.systems
        if system.unavailable is not None
    ]
    lines.append(conditions(results))
    if results.errors:
        lines.append(f"{results.errors} responses were errors, so this run is invalid.")
    return "\n".join(lines)


def describe_figure(figure: Figure) -> str:
    return f"{figure.verdict:13} {figure.bar:8} {measured(figure):>8}  {figure.text}"


def measured(figure: Figure) -> str:
    return "–" if figure.measured is None else f"{figure.measured:.2f} ×"


def summary(results: Results) -> str:
    """The section in the README."""
    rows = [
        [figure.text, figure.bar, measured(figure), figure.verdict] for figure in figures(results)
    ]
    return table(["", "promised", "measured", ""], rows) + "\n\n" + conditions(results)


def conditions(results: Results) -> str:
    rounds = max((len(measurement.rounds) for measurement in results.measurements), default=0)
    machine = results.machine
    kind = "A quick run" if results.quick else "A run"
    disturbed = (
        f" Other processes used {results.others_cpu:.0%} of the cores, so compare CPU times rather "
        "than rates."
        if results.others_cpu > DISTURBED
        else ""
    )
    return (
        f"{kind} of {results.date} at {results.commit}: {machine.cpu}, {machine.cores} cores, "
        f"{machine.system}, Python {machine.python}; {rounds} rounds of "
        f"{results.seconds:g} s.{disturbed}"
    )


def details(results: Results) -> str:
    """The section in the README of the benchmarks: all numbers."""
    parts = [conditions(results)]
    for scenario in results.scenarios:
        parts.append(f"### {scenario.title}\n\n{scenario_table(results, scenario.name)}")
    parts.append("### Servers\n\n" + servers(results))
    parts.append("### Versions\n\n" + versions(results))
    return "\n\n".join(parts)


def scenario_table(results: Results, scenario: str) -> str:
    found = [
        measurement for measurement in results.measurements if measurement.scenario == scenario
    ]
    titles = {system.name: system.title for system in results.systems}
    rows = []
    for measurement in sorted(found, key=lambda measurement: -measurement.requests_per_s):
        compared = [against(measurement, results.find(other, scenario)) for other, _ in COMPARED]
        rate = f"{measurement.requests_per_s:,.0f}"
        times = [
            f"{measurement.p50_ms:.2f}",
            f"{measurement.p99_ms:.2f}",
            f"{measurement.cpu_ms:.2f}",
        ]
        rows.append([titles[measurement.system], rate, *times, *compared, str(measurement.errors)])
    heads = [
        "",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        *(head for _, head in COMPARED),
        "errors",
    ]
    return table(heads, rows)


def against(measurement: Measurement, other: Measurement | None) -> str:
    found = ratio(measurement, other) if other else None
    return "–" if found is None else f"{found:.2f}"


def servers(results: Results) -> str:
    heads = ["", "set up", "memory MB", "cold start s", "idle, % of a core"]
    own = [system for system in results.systems if system.cold_start_s or system.unavailable]
    return table(heads, [server_row(system) for system in own]) + (
        "\n\nPairs of numbers are for the iris model and the perceptron."
    )


def server_row(system: SystemInfo) -> list[str]:
    if system.unavailable:
        return [system.title, system.unavailable, "–", "–", "–"]
    return [
        system.title,
        system.setup,
        both(system.pss_mb, "{:.0f}"),
        both(system.cold_start_s, "{:.1f}"),
        both({model: share * 100 for model, share in system.idle_cpu.items()}, "{:.1f}"),
    ]


def both(values: dict[str, float], form: str) -> str:
    return " / ".join(form.format(value) for value in values.values()) or "–"


def versions(results: Results) -> str:
    rows = []
    for system in results.systems:
        known = {name.lower(): version for name, version in system.versions.items()}
        listed = ", ".join(f"{name} {known[name]}" for name in PACKAGES if name in known)
        if listed:
            rows.append([system.title, listed])
    return table(["", ""], rows) + "\n\n`results/latest.json` has the version of every package."


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
