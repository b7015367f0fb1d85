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


def patterns(known: dict[str, Any]) -> list[str]:
    """The lines of ``_exclude``, rendered with the answers."""
    lines = "\n".join(render(entry, known) for entry in CONFIG["_exclude"]).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def matches(pattern: str, parts: Sequence[str]) -> bool:
    """Whether a line of a .gitignore names the path or a folder above it: ``/a/*`` from the root,
    ``/a/*/`` only what is below such a folder, ``*.py[co]`` anywhere. ``**`` is not supported.
    """
    names = pattern.strip("/").split("/")
    if pattern.endswith("/"):
        parts = parts[:-1]
    if "/" not in pattern.rstrip("/"):
        return any(fnmatchcase(part, names[0]) for part in parts)
    return len(parts) >= len(names) and all(map(fnmatchcase, parts, names))


def excluded(parts: Sequence[str], lines: Sequence[str]) -> bool:
    """The last line that matches decides; with ``!`` it takes the path in again."""
    for line in reversed(lines):
        if matches(line.removeprefix("!"), parts):
            return not line.startswith("!")
    return False


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
