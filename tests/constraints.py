"""Writes template/constraints.txt: one tested version of each package that a service can install.

uv resolves all components together, for all Python versions and platforms. Each package is then
written within a condition on the components that require it.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from tests.combinations import ROOT, Combination, components, render, variants

PATH = ROOT / "template" / "constraints.txt"
#: Versions to keep until a later one has been tested with everything that depends on it.
PINNED = ["torch==2.13.0"]
HEADER = """\
# The versions that this service was tested with: pip install -c constraints.txt -e ".[dev]"
# pyproject.toml has the ranges that it accepts.
"""


def main(*options: str) -> None:
    """Resolve and write the versions; ``options`` are for uv, such as ``--upgrade``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        needs = {c: requirements(folder / c, c) for c in ["nothing", *components()]}
        lines = resolve(folder, set().union(*needs.values()), options)
    PATH.write_text(HEADER + conditional(lines, needs), "utf-8")


def requirements(folder: Path, component: str) -> set[str]:
    """The requirements of a service with one component, over its variants and extras."""
    found: set[str] = set()
    _, choices = variants().get(component, ("", [""]))
    for choice in choices:
        combination = Combination.parse(f"{component}:{choice}" if choice else component)
        service = render(ROOT, folder / (choice or "service"), **combination.answers)
        project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"].values()
        listed = [*project["dependencies"], *(need for extra in extras for need in extra)]
        found |= {need for need in listed if not need.startswith(f"{project['name']}[")}
    return found


def resolve(folder: Path, needs: Iterable[str], options: Iterable[str]) -> dict[str, list[str]]:
    """Package → its lines with markers, and with a comment naming the packages that need it."""
    (folder / "requirements.in").write_text("\n".join(sorted(needs)) + "\n")
    (folder / "pinned.txt").write_text("\n".join(PINNED) + "\n")
    output = folder / "constraints.txt"
    output.write_text(re.sub(r"^#.*\n", "", PATH.read_text(), flags=re.M) if PATH.exists() else "")
    command = ["uv", "pip", "compile", "--universal", "--python-version=3.11", "--quiet"]
    command += ["--no-header", "--no-strip-markers", "--annotation-style=line", *options]
    command += ["--constraints=pinned.txt", "--output-file=constraints.txt", "requirements.in"]
    subprocess.run(command, cwd=folder, check=True)
    found = defaultdict(list)
    for line in output.read_text().splitlines():
        found[package(line)].append(line)
    return found


def package(requirement: str) -> str:
    """``psycopg[binary]>=3.3,<4`` → ``psycopg``."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def conditional(lines: Mapping[str, list[str]], needs: Mapping[str, Iterable[str]]) -> str:
    """The lines in order, those that only some components need within a condition."""
    requires = defaultdict(set)
    for name, versions in lines.items():
        for line in versions:
            for user in line.partition("# via ")[2].split(", "):
                requires[package(user)].add(name)
    closures = {c: closure(map(package, names), requires) for c, names in needs.items()}
    always = closures.pop("nothing")

    def condition(name: str) -> str:
        users = [f'"{c}" in components' for c, names in closures.items() if name in names]
        assert name in always or users, f"nothing requires {name}"
        return "" if name in always else " or ".join(users)

    text = ""
    for words, names in groupby(lines, condition):
        block = [line.partition("#")[0].strip() for name in names for line in lines[name]]
        block = [f"# {{% if {words} %}}", *block, "# {% endif %}"] if words else block
        text += "\n".join(block) + "\n"
    return text


def closure(names: Iterable[str], requires: Mapping[str, set[str]]) -> set[str]:
    """Packages and their transitive requirements."""
    found: set[str] = set()
    new = set(names)
    while new:
        found |= new
        new = {name for user in new for name in requires.get(user, ())} - found
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
