"""Draws the bar chart for the README as an SVG, in light and dark mode."""

from html import escape

from benchmarks.results import Measurement, Results
from benchmarks.systems import OURS

PANELS = ("iris-1-at-32", "iris-512-at-16", "mlp-1-at-32", "mlp-512-at-16")
WIDTH, MARGIN, GAP = 960, 16, 32
BAR, PITCH, HEAD = 14, 22, 40
LABEL, NUMBER = 192, 92  # pixels for the name before a bar, and for the numbers after it
STYLE = """
  text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .note { fill: #59636e; font-size: 11px }
  .ours { font-weight: 600 }
  rect { fill: #afb8c1 }
  rect.ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    rect { fill: #656c76 }
    rect.ours { fill: #4493f8 }
  }
"""


def draw(results: Results) -> str:
    """Draw a bar chart for each of ``PANELS`` that was measured, two per row."""
    names = [scenario.name for scenario in results.scenarios]
    panels = [name for name in PANELS if name in names]
    column = (WIDTH - 2 * MARGIN - GAP) / 2
    parts: list[str] = []
    top = float(MARGIN)
    for start in range(0, len(panels), 2):
        pair = panels[start : start + 2]
        for place, name in enumerate(pair):
            parts += draw_panel(results, name, MARGIN + place * (column + GAP), top, column)
        top += HEAD + PITCH * max(len(ranked(results, name)) for name in pair) + 14
    parts.append(text(MARGIN, top + 8, note(results), "note"))
    height = round(top + 22)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="Requests per second">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def ranked(results: Results, scenario: str) -> list[Measurement]:
    """The measurements of a scenario, fastest first."""
    found = [
        measurement for measurement in results.measurements if measurement.scenario == scenario
    ]
    return sorted(found, key=lambda measurement: -measurement.requests_per_s)


def draw_panel(results: Results, scenario: str, left: float, top: float, width: float) -> list[str]:
    bars = ranked(results, scenario)
    titles = {system.name: system.title for system in results.systems}
    heading = next(s.title for s in results.scenarios if s.name == scenario)
    fastest = max((bar.requests_per_s for bar in bars), default=1.0) or 1.0
    parts = [
        text(left, top + 12, heading, "title"),
        text(left, top + 28, "requests/s, p99", "note"),
    ]
    for place, bar in enumerate(bars):
        y = top + HEAD + place * PITCH
        kind = "ours" if bar.system.startswith(OURS) else "peer"
        length = max(1.0, (width - LABEL - NUMBER) * bar.requests_per_s / fastest)
        parts += [
            text(left, y + 11, titles[bar.system], kind),
            f'<rect class="{kind}" x="{left + LABEL:.0f}" y="{y:.0f}" '
            f'width="{length:.1f}" height="{BAR}" rx="2"/>',
            text(left + LABEL + length + 6, y + 11, numbers(bar), kind),
        ]
    return parts


def numbers(measurement: Measurement) -> str:
    return f"{measurement.requests_per_s:,.0f}, {measurement.p99_ms:.0f} ms"


def text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'


def note(results: Results) -> str:
    rounds = max((len(measurement.rounds) for measurement in results.measurements), default=0)
    return (
        f"Medians of {rounds} interleaved rounds, two worker processes each, load on the same "
        f"{results.machine.cores} cores. {results.machine.cpu}, {results.date}, {results.commit}."
    )
