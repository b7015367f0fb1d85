"""CONTRIBUTING, followed word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.combinations import ROOT
from tests.matrix.mutants import copy_repository

STEPS = re.findall(
    r"^```\w+\n# ([\w./]+)(?:, (after|before|replacing) \"([^\n]*)\")?\n(.*?)^```$",
    (ROOT / "CONTRIBUTING.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


#: What its last bullet asks for.
QUESTION = """\
volume:
  type: str
  help: How loud is a greeting?
  default: soft
  choices: [soft, loud]
  when: "{{ 'greetings' in components }}"
"""
#: Of the tests of the questions, the quick ones that look at all of them.
QUICK = "people_see or asked_with or refused_choice or accelerator or follows or listed or has_"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copy_repository(tmp_path / "copy")


def follow(root: Path, name: str, where: str, anchor: str, text: str) -> None:
    path = root / name
    if not where:
        assert not path.exists(), f"{name} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    anchor = anchor.replace("\\n", "\n")
    old = path.read_text()
    assert old.count(anchor) == 1, f"{name} has not exactly one {anchor!r}"
    body = text.removesuffix("\n")
    new = {"after": f"{anchor}\n{body}", "before": f"{body}\n{anchor}", "replacing": body}
    path.write_text(old.replace(anchor, new[where]))


def matrix(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.matrix", *arguments],
        cwd=root,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )


def test_a_component_is_added_by_its_steps(copy: Path) -> None:
    unknown = matrix(copy, "--only", "greetings")
    assert "There is no 'greetings'" in unknown.stderr
    assert len(STEPS) >= 11
    for step in STEPS:
        follow(copy, *step)
    drifted = matrix(copy, "--only", "nothing")
    assert "FAILED cookiecutter.json does not follow from copier.yml" in drifted.stdout
    assert drifted.returncode == 1
    module = [sys.executable, "-m", "tests.cookiecutter_json"]  # nox -s cookiecutter
    subprocess.run(module, cwd=copy, check=True)
    found = matrix(
        copy, "--only", "greetings", "--only", "jwt,probes,greetings", "--only", "probes"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Combinations: 3 expected, 3 run, 3 passed" in found.stdout


def test_the_questions_are_tested_with_an_addition(copy: Path) -> None:
    for step in STEPS:
        follow(copy, *step)
    follow(copy, "copier.yml", "before", "\npython_version:", QUESTION)
    module = [sys.executable, "-m", "tests.cookiecutter_json"]
    subprocess.run(module, cwd=copy, check=True)
    files = ["tests/test_questions.py", "tests/test_cookiecutter.py"]
    command = [sys.executable, "-m", "pytest", "--quiet", "--maxfail=1", "-k", QUICK, *files]
    result = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " skipped" not in result.stdout
    known = matrix(copy, "--only=greetings:shrill")
    assert "greetings:soft, greetings:loud" in known.stderr


def test_a_component_without_its_oracle_is_red(copy: Path) -> None:
    for step in STEPS:
        if step[0] != "tests/oracle.py":
            follow(copy, *step)
    found = matrix(copy, "--only", "greetings")
    assert found.returncode == 1
    assert "FAILED greetings: AssertionError: README.md's routes that are not there" in found.stdout
    assert "again: nox -s matrix -- --only 'greetings'" in found.stdout
