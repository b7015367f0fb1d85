"""The combinations of answers, read from copier.yml: a component that is added there joins by
itself.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import copier
import yaml

ROOT = Path(__file__).resolve().parent.parent


@cache
def questions() -> dict[str, Any]:
    """copier.yml, as it is written."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())
    return document


def components() -> list[str]:
    """The components that are written, in the order of the question."""
    return list(questions()["written"]["default"])


@dataclass(frozen=True)
class Combination:
    """One set of answers; ``str`` names it on a command line."""

    components: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.components) or "nothing"

    @property
    def answers(self) -> dict[str, Any]:
        return {"components": list(self.components)}


def all_combinations() -> Iterator[Combination]:
    """Every subset of the components, from nothing to everything."""
    names = components()
    sizes = (combinations(names, size) for size in range(len(names) + 1))
    return map(Combination, chain.from_iterable(sizes))


def expected_count() -> int:
    """How many combinations there are, counted without listing them."""
    return int(2 ** len(components()))


def render(template: Path, folder: Path, **answers: Any) -> Path:
    """Render through Copier's API, as ``copier copy --defaults`` does; the rendered folder."""
    copier.run_copy(str(template), folder, data=answers, defaults=True, quiet=True, vcs_ref="HEAD")
    return folder


def run(service: Path, *arguments: str) -> str:
    """What Python prints with these arguments in the service's folder; it must end well."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=service, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(arguments)}\n{result.stdout}{result.stderr}"
    return result.stdout
