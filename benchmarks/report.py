"""A run in words and tables."""

from benchmarks.figures import figures
from benchmarks.results import Results


def write(results: Results) -> None:
    pass


def describe(results: Results) -> str:
    lines = []
    for figure in figures(results):
        measured = "" if figure.measured is None else f"{figure.measured:.2f} ×"
        lines.append(f"{figure.verdict:13} {figure.bar:8} {measured:9} {figure.text}")
    return "\n".join(lines)
