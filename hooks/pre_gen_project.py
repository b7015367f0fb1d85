"""Runs before the files are rendered: removes what copier.yml excludes from Cookiecutter's copy of
the template. Nothing is deleted in the project, which may exist and hold its owner's files.
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
    InvalidAnswer,
    answers,
    as_text,
    asked,
    render,
)


def reject_lists() -> None:
    """Reject lists in the user's defaults: Cookiecutter would choose the first item."""
    for name, value in GIVEN.items():
        if asked(name) and isinstance(value, list):
            sys.exit(f'{name}: must be a string, "{", ".join(map(str, value))}", not a list.')


def replayed_answers() -> dict[str, Any]:
    """Validate the answers again: a replay file can be outdated or edited by hand."""
    try:
        known = answers(CONTEXT)
    except InvalidAnswer as error:
        sys.exit(error.message)
    for name, value in known.items():
        if CONTEXT[f"__{name}"] != as_text(value):
            sys.exit(f"{name}: the replay file contradicts itself; pass the answers as arguments.")
    return known


class Pattern:
    """A pattern as in .gitignore: ``/a/*`` is relative to the root, ``/a/*/`` matches only what is
    below such a folder, ``*.py[co]`` matches anywhere, and ``!`` re-includes. No ``**``.
    """

    def __init__(self, line: str) -> None:
        self.excludes = not line.startswith("!")
        line = line.removeprefix("!")
        self.only_below = line.endswith("/")
        self.anywhere = "/" not in line.rstrip("/")
        self.names = line.strip("/").split("/")

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether the pattern matches the path or one of its parent folders."""
        parts = parts[:-1] if self.only_below else parts
        if self.anywhere:
            return any(fnmatchcase(part, self.names[0]) for part in parts)
        return len(parts) >= len(self.names) and all(map(fnmatchcase, parts, self.names))


def patterns(known: dict[str, Any]) -> list[Pattern]:
    """The patterns of ``_exclude``, rendered with the answers, last one first."""
    lines = "\n".join(render(entry, known) for entry in CONFIG["_exclude"]).splitlines()
    return [Pattern(line) for line in reversed(lines) if line and not line.startswith("#")]


def excluded(parts: Sequence[str], known: Sequence[Pattern]) -> bool:
    """Whether a path is excluded: the last pattern that matches decides."""
    return next((pattern.excludes for pattern in known if pattern.matches(parts)), False)


def main() -> None:
    reject_lists()
    tree, lines = REPO / TREE, patterns(replayed_answers())
    for path in sorted(tree.rglob("*"), reverse=True):
        if excluded(path.relative_to(tree).parts, lines):
            if not path.is_dir():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


main()
