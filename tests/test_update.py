"""The check of updates: from a release, and with a conflict."""

from pathlib import Path

import pytest

from tests.combinations import Combination, components
from tests.engines import SOURCES
from tests.matrix.update import Move, check, commit, git, moves, releases, repository


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository of the working tree with one release."""
    folder = repository(tmp_path / "template")
    for tag in releases(folder):  # copied from this repository
        git(folder, "tag", "--delete", tag)
    git(folder, "tag", "v0.1.0")
    return folder


def change_template(folder: Path, old: str, new: str) -> None:
    """Create a second release in which a file of all services differs."""
    path = folder / "template" / "app" / "index.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    commit(folder)
    git(folder, "tag", "v0.2.0")


def move(engine: str) -> Move:
    combination = Combination.parse("probes")
    return Move(combination, combination, engine, "v0.1.0")


def test_moves_toggle_each_component_with_both_engines() -> None:
    toggles = [str(m) for m in moves(1, ["v0.1.0"])]
    assert len(set(toggles)) == len(toggles)
    assert len(toggles) % (2 * len(components())) == 0
    assert not any("v0.1.0" in text for text in toggles)


def test_moves_include_releases_once_there_are_two() -> None:
    found = [m.release for m in moves(1, ["v0.1.0", "v0.2.0"]) if m.release]
    assert set(found) == {"v0.1.0", "v0.2.0"}


@pytest.mark.parametrize("engine", ["copier", "cookiecutter"])
def test_service_is_updated_from_a_release(template: Path, tmp_path: Path, engine: str) -> None:
    change_template(template, "from flask import", "import typing  # newer\n\nfrom flask import")
    assert releases(template) == ["v0.1.0", "v0.2.0"]
    check(move(engine), template, tmp_path / "move")


def test_conflict_is_reported(template: Path, tmp_path: Path) -> None:
    change_template(template, '"""', '"""Newer: ')
    with pytest.raises(AssertionError, match=r"different from a fresh render: \['app/index.py'\]"):
        check(move("copier"), template, tmp_path / "move")


def test_repository_contains_all_sources(template: Path) -> None:
    assert all((template / name).exists() for name in SOURCES)
    assert git(template, "status", "--porcelain") == ""
