"""The check of updates itself: from a release on, and where an update fails."""

from pathlib import Path

import pytest

from tests.combinations import Combination, components
from tests.engines import SOURCES
from tests.matrix.update import Move, check, commit, git, moves, releases, repository


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository with one release, and a tree as it lies here."""
    folder = repository(tmp_path / "template")
    for tag in releases(folder):  # those of this repository's own
        git(folder, "tag", "--delete", tag)
    git(folder, "tag", "v0.1.0")
    return folder


def change_template(folder: Path, old: str, new: str) -> None:
    """A second release, with another text in a file that every service has."""
    path = folder / "template" / "app" / "index.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    commit(folder)
    git(folder, "tag", "v0.2.0")


def move(engine: str) -> Move:
    combination = Combination.parse("probes")
    return Move(combination, combination, engine, "v0.1.0")


def test_a_toggle_of_each_component_and_each_engine_is_moved_to() -> None:
    toggles = [str(m) for m in moves(1, ["v0.1.0"])]
    assert len(set(toggles)) == len(toggles)
    assert len(toggles) % (2 * len(components())) == 0
    assert not any("v0.1.0" in text for text in toggles)


def test_a_second_release_adds_the_way_from_each() -> None:
    way = [m.release for m in moves(1, ["v0.1.0", "v0.2.0"]) if m.release]
    assert set(way) == {"v0.1.0", "v0.2.0"}


@pytest.mark.parametrize("engine", ["copier", "cookiecutter"])
def test_a_release_is_left_behind(template: Path, tmp_path: Path, engine: str) -> None:
    change_template(template, "from flask import", "import typing  # newer\n\nfrom flask import")
    assert releases(template) == ["v0.1.0", "v0.2.0"]
    check(move(engine), template, tmp_path / "move")


def test_a_conflict_is_found(template: Path, tmp_path: Path) -> None:
    change_template(template, '"""', '"""Newer: ')
    with pytest.raises(AssertionError, match=r"other than in the fresh render: \['app/index.py'\]"):
        check(move("copier"), template, tmp_path / "move")


def test_all_that_the_engines_read_is_in_the_repository(template: Path) -> None:
    assert all((template / name).exists() for name in SOURCES)
    assert git(template, "status", "--porcelain") == ""
