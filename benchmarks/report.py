"""A run in words, tables and bars: for the terminal, and for the two READMEs."""

import re
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.figures import Figure, figures
from benchmarks.results import LATEST, Measurement, Participant, Results, ratio
from benchmarks.systems import FASTAPI, MOSEC_TUNED, SAMPLE

HERE = Path(__file__).parent
CHART = LATEST.with_suffix(".svg")
README, DETAILS = HERE.parent / "README.md", HERE / "README.md"
COMPARED = ((SAMPLE, "× sample code"), (FASTAPI, "× FastAPI"), (MOSEC_TUNED, "× mosec tuned"))
DISTURBED = 0.05  # of all cores
PACKAGES = (
    *("bentoml", "fastapi", "flask", "granian", "gunicorn", "litserve", "mlserver", "mosec"),
    *("numpy", "onnxruntime", "pydantic", "scikit-learn", "torch", "uvicorn"),
)


def write(results: Results) -> None:
    """Draw the chart, and put what was measured in the place that each README has for it."""
    CHART.write_text(draw(results))
    fill(README, summary(results))
    fill(DETAILS, details(results))


def fill(page: Path, content: str) -> None:
    page.write_text(filled(page.read_text(), content))


def filled(page: str, content: str) -> str:
    """The page with ``content`` between its marks."""
    begin, end = "<!-- measured -->", "<!-- /measured -->"
    new, count = re.subn(
        f"{begin}.*{end}", lambda _: f"{begin}\n\n{content}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError("the page has no place for what was measured")
    return new


def describe(results: Results) -> str:
    """For the terminal: the promises, and what speaks against the run itself."""
    lines = [describe_figure(one) for one in figures(results)]
    lines += [
        f"{one.title}: {one.unavailable}" for one in results.systems if one.unavailable is not None
    ]
    lines.append(conditions(results))
    if results.errors:
        lines.append(f"{results.errors} answers were errors: this run proves nothing.")
    return "\n".join(lines)


def describe_figure(figure: Figure) -> str:
    return f"{figure.verdict:13} {figure.bar:8} {measured(figure):>8}  {figure.text}"


def measured(figure: Figure) -> str:
    return "–" if figure.measured is None else f"{figure.measured:.2f} ×"


def summary(results: Results) -> str:
    """For the README."""
    rows = [[one.text, one.bar, measured(one), one.verdict] for one in figures(results)]
    return table(["", "promised", "measured", ""], rows) + "\n\n" + conditions(results)


def conditions(results: Results) -> str:
    rounds = max((len(one.rounds) for one in results.measurements), default=0)
    machine = results.machine
    kind = "A quick run" if results.quick else "A run"
    disturbed = (
        f" Other work took {results.others_cpu:.0%} of the cores meanwhile, so read the CPU of an "
        "answer rather than the rates."
        if results.others_cpu > DISTURBED
        else ""
    )
    return (
        f"{kind} of {results.date} at {results.commit}: {machine.cpu}, {machine.cores} cores, "
        f"{machine.system}, Python {machine.python}; {rounds} rounds of "
        f"{results.seconds:g} s.{disturbed}"
    )


def details(results: Results) -> str:
    """For the benchmark's own README: every number."""
    parts = [conditions(results)]
    for scenario in results.scenarios:
        parts.append(f"### {scenario.title}\n\n{scenario_table(results, scenario.name)}")
    parts.append("### Servers\n\n" + servers(results))
    parts.append("### Versions\n\n" + versions(results))
    return "\n\n".join(parts)


def scenario_table(results: Results, scenario: str) -> str:
    found = [one for one in results.measurements if one.scenario == scenario]
    titles = {one.name: one.title for one in results.systems}
    rows = []
    for one in sorted(found, key=lambda one: -one.requests_per_s):
        compared = [against(one, results.find(other, scenario)) for other, _ in COMPARED]
        rate = f"{one.requests_per_s:,.0f}"
        times = [f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.cpu_ms:.2f}"]
        rows.append([titles[one.system], rate, *times, *compared, str(one.errors)])
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


def against(one: Measurement, other: Measurement | None) -> str:
    found = ratio(one, other) if other else None
    return "–" if found is None else f"{found:.2f}"


def servers(results: Results) -> str:
    heads = ["", "set up", "memory MB", "cold start s", "idle, % of a core"]
    own = [one for one in results.systems if one.cold_start_s or one.unavailable]
    return table(heads, [server_row(one) for one in own]) + (
        "\n\nTwo numbers are those of the iris model and of the perceptron."
    )


def server_row(one: Participant) -> list[str]:
    if one.unavailable:
        return [one.title, one.unavailable, "–", "–", "–"]
    return [
        one.title,
        one.setup,
        both(one.pss_mb, "{:.0f}"),
        both(one.cold_start_s, "{:.1f}"),
        both({model: share * 100 for model, share in one.idle_cpu.items()}, "{:.1f}"),
    ]


def both(values: dict[str, float], form: str) -> str:
    return " / ".join(form.format(value) for value in values.values()) or "–"


def versions(results: Results) -> str:
    rows = []
    for one in results.systems:
        known = {name.lower(): version for name, version in one.versions.items()}
        listed = ", ".join(f"{name} {known[name]}" for name in PACKAGES if name in known)
        if listed:
            rows.append([one.title, listed])
    return table(["", ""], rows) + "\n\n`results/latest.json` has the version of every package."


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
