"""Following the steps in CONTRIBUTING.md adds a component."""

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


#: A question that belongs to the component.
QUESTION = """\
volume:
  type: str
  help: How loud is a greeting?
  default: soft
  choices: [soft, loud]
  when: "{{ 'greetings' in components }}"
"""
#: The quick tests of all questions and components.
QUICK = "prompts or asked_with or unavailable or accelerator or json_matches or offered or has_"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copy_repository(tmp_path / "copy")


def follow(root: Path, name: str, where: str, anchor: str, text: str) -> None:
    path = root / name
    if not where:
        assert not path.exists(), f"{name} already exists"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return
    anchor = anchor.replace("\\n", "\n")
    old = path.read_text()
    assert old.count(anchor) == 1, f"{name} must contain {anchor!r} exactly once"
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


def test_steps_add_a_component(copy: Path) -> None:
    unknown = matrix(copy, "--only", "greetings")
    assert "There is no 'greetings'" in unknown.stderr
    assert len(STEPS) >= 11
    for step in STEPS:
        follow(copy, *step)
    outdated = matrix(copy, "--only", "nothing")
    assert "FAILED cookiecutter.json does not match copier.yml" in outdated.stdout
    assert outdated.returncode == 1
    module = [sys.executable, "-m", "tests.cookiecutter_json"]  # nox -s cookiecutter
    subprocess.run(module, cwd=copy, check=True)
    found = matrix(
        copy, "--only", "greetings", "--only", "jwt,probes,greetings", "--only", "probes"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Combinations: 3 expected, 3 run, 3 passed" in found.stdout


def test_tests_of_questions_pass_with_the_new_component(copy: Path) -> None:
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


def test_component_missing_from_the_oracle_fails(copy: Path) -> None:
    for step in STEPS:
        if step[0] != "tests/oracle.py":
            follow(copy, *step)
    found = matrix(copy, "--only", "greetings")
    assert found.returncode == 1
    assert "FAILED greetings: AssertionError: README.md's routes that do not exist" in found.stdout
    assert "reproduce: nox -s matrix -- --only 'greetings'" in found.stdout
