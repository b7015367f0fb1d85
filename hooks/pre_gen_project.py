"""Before the files are rendered: take out of Cookiecutter's copy of the template what copier.yml
excludes. Nothing is ever deleted in a project, which may be older and hold files of its owner's.
"""

import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

CONTEXT = json.loads(r"""{{ cookiecutter | tojson }}""")
GIVEN = json.loads(r"""{{ _cookiecutter | tojson }}""")
REPO = Path(CONTEXT["_repo_dir"])
sys.path.insert(0, str(REPO))
from cookiecutter_answers import (  # noqa: E402
    CONFIG,
    TREE,
    Refused,
    answers,
    as_text,
    asked,
    render,
)


def refuse_lists() -> None:
    """Cookiecutter reads a list among a user's defaults as a choice, and takes its first name."""
    for name, value in GIVEN.items():
        if asked(name) and isinstance(value, list):
            sys.exit(f'{name}: write one text, "{", ".join(map(str, value))}", not a list.')


def replayed_answers() -> dict[str, Any]:
    """The answers, which were checked before; a replay file can be older, or edited by hand."""
    try:
        known = answers(CONTEXT)
    except Refused as error:
        sys.exit(error.message)
    for name, value in known.items():
        if CONTEXT[f"__{name}"] != as_text(value):
            sys.exit(
                f"{name}: the replay file contradicts itself; give the answers by their names."
            )
    return known


class Pattern:
    """A line of a .gitignore: ``/a/*`` from the root, ``/a/*/`` only what is below such a folder,
    ``*.py[co]`` anywhere; with ``!`` it takes the path in again. ``**`` is not supported.
    """

    def __init__(self, line: str) -> None:
        self.excludes = not line.startswith("!")
        line = line.removeprefix("!")
        self.only_below = line.endswith("/")
        self.anywhere = "/" not in line.rstrip("/")
        self.names = line.strip("/").split("/")

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether it names the path or a folder above it."""
        parts = parts[:-1] if self.only_below else parts
        if self.anywhere:
            return any(fnmatchcase(part, self.names[0]) for part in parts)
        return len(parts) >= len(self.names) and all(map(fnmatchcase, parts, self.names))


def patterns(known: dict[str, Any]) -> list[Pattern]:
    """The lines of ``_exclude``, rendered with the answers; the last one first."""
    lines = "\n".join(render(entry, known) for entry in CONFIG["_exclude"]).splitlines()
    return [Pattern(line) for line in reversed(lines) if line and not line.startswith("#")]


def excluded(parts: Sequence[str], known: Sequence[Pattern]) -> bool:
    """The last line that matches decides."""
    return next((pattern.excludes for pattern in known if pattern.matches(parts)), False)


def main() -> None:
    refuse_lists()
    tree, lines = REPO / TREE, patterns(replayed_answers())
    for path in sorted(tree.rglob("*"), reverse=True):
        if excluded(path.relative_to(tree).parts, lines):
            if not path.is_dir():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


main()
