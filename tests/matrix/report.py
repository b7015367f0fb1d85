"""The reports of a run: JUnit XML for CI, JSON for programs, and an HTML page."""

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import jinja2

from tests.combinations import levels
from tests.matrix.runner import Matrix, Result

#: Characters of a log to include in a report.
EXCERPT = 8000


def write_reports(matrix: Matrix, folder: Path) -> None:
    results = sorted(matrix.results.values(), key=lambda result: (not result.failure, result.key))
    logs = {result.key: excerpt(folder / "logs" / result.log) for result in results}
    (folder / "junit.xml").write_bytes(junit(matrix, results, logs))
    (folder / "report.json").write_text(json.dumps(document(matrix, results), indent=1))
    (folder / "index.html").write_text(page(matrix, results, logs))


def excerpt(log: Path) -> str:
    """The end of a log; empty if the combination passed."""
    return log.read_text(errors="replace")[-EXCERPT:] if log.exists() else ""


def junit(matrix: Matrix, results: list[Result], logs: dict[str, str]) -> bytes:
    suite = ET.Element("testsuite", name="matrix", tests=str(len(matrix.combinations)))
    missing = matrix.combinations.keys() - matrix.results.keys()
    suite.set("failures", str(len(matrix.failed) + bool(matrix.drift)))
    suite.set("errors", str(len(missing)))
    suite.set("time", f"{matrix.seconds:.3f}")
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="matrix", name=result.key)
        case.set("time", f"{result.seconds:.3f}")
        if result.failure:
            failure = ET.SubElement(case, "failure", message=printable(result.failure))
            failure.text = printable(logs[result.key])
    if matrix.drift:
        case = ET.SubElement(suite, "testcase", classname="matrix", name="cookiecutter.json")
        ET.SubElement(case, "failure", message=matrix.drift)
    for key in sorted(missing):
        case = ET.SubElement(suite, "testcase", classname="matrix", name=key)
        ET.SubElement(case, "error", message="was not run")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    text: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text


def printable(text: str) -> str:
    """Remove control characters, which XML does not allow."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def document(matrix: Matrix, results: list[Result]) -> dict[str, Any]:
    run = len(matrix.results)
    return {
        "expected": len(matrix.combinations),
        "run": run,
        "passed": run - len(matrix.failed),
        "complete": matrix.complete,
        "drift": matrix.drift,
        "seconds": matrix.seconds,
        "setup_seconds": matrix.setup,
        "static_core_seconds": matrix.static_cpu,
        "results": [asdict(result) for result in results],
    }


def page(matrix: Matrix, results: list[Result], logs: dict[str, str]) -> str:
    source = (Path(__file__).parent / "report.html").read_text()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(
        matrix=matrix,
        results=results,
        logs=logs,
        map=heat_map(results),
        phases=phases(results),
    )


def heat_map(results: list[Result]) -> dict[str, Any]:
    """For each pair of answers: how many combinations have both, and how many of those failed."""
    values = [
        (question, value, label(question, value))
        for question, found in levels().items()
        for value in found
    ]
    cells = {}
    for (q1, v1, l1), (q2, v2, l2) in product(values, values):
        if q1 != q2:
            both = [r for r in results if r.levels[q1] == v1 and r.levels[q2] == v2]
            cells[l1, l2] = (len(both), sum(bool(result.failure) for result in both))
    return {"labels": [name for *_, name in values], "cells": cells}


def label(question: str, value: str) -> str:
    """``crud``, ``no crud``, ``torch:cuda``, ``python_version=3.12``."""
    if not value:
        return f"no {question}"
    return value if value.partition(":")[0] == question else f"{question}={value}"


def phases(results: list[Result]) -> dict[str, float]:
    """Mean core-seconds of each phase over the passed combinations."""
    passed = [result.phases for result in results if result.phases]
    names = passed[0] if passed else {}
    return {name: sum(p.get(name, 0) for p in passed) / len(passed) for name in names}
