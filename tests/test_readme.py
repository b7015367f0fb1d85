"""Every command in the README is run by a test or is a nox session that CI runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.combinations import ROOT, questions
from tests.matrix.__main__ import parse, select

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition("    #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]
SCRIPTS = Path(sys.executable).parent


def commands(start: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(start)]


def test_all_commands_are_covered_by_a_test() -> None:
    engines = ("copier copy ", "copier update ", "cookiecutter ")
    covered = ("git clone ", "python3 noxfile.py", "nox -s ", *engines)
    others = [c for c in COMMANDS if not c.startswith((*covered, "pipx ", "git commit ", "cd "))]
    assert others == []


def test_minimum_copier_version_matches_the_template() -> None:
    assert f"Copier ({questions()['_min_copier_version']} or later)" in README


def test_sessions_exist_and_ci_runs_the_tests() -> None:
    source = (ROOT / "noxfile.py").read_text()
    known = set(re.findall(r"^@nox.session.*\ndef (\w+)", source, re.MULTILINE))
    named = {name for command in COMMANDS for name in re.findall(r"-s (\w+)", command)}
    assert named <= known
    assert "python3 noxfile.py" in COMMANDS
    assert "\npython3 noxfile.py\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("command", commands("nox -s matrix"))
def test_matrix_commands_run(command: str, tmp_path: Path) -> None:
    _, _, arguments = command.partition(" -- ")
    words = shlex.split(arguments)
    assert select(parse(words))
    if "--only" in words:
        module = [sys.executable, "-m", "tests.matrix", f"--report={tmp_path}", *words]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        result = subprocess.run(module, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert "1 expected, 1 run, 1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("command", commands("copier copy "))
def test_copy_commands_render_a_commit(command: str, tmp_path: Path) -> None:
    clone = clone_repository(tmp_path)
    with (clone / "template" / "wsgi.py").open("a") as file:
        file.write("# not committed\n")
    run_command(command, clone)
    service = tmp_path / "my-service"
    assert "# not committed" not in (service / "wsgi.py").read_text()
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text())
    git(clone, "cat-file", "-e", f"{answers['_commit']}^{{commit}}")


def test_cookiecutter_commands_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    clone = clone_repository(tmp_path)
    first, second = commands("cookiecutter ")
    run_command(first, clone)
    assert (tmp_path / "my-service" / "app" / "pagination").is_dir()
    run_command(second, clone)
    assert (tmp_path / "pet-shop" / "app" / "jwt").is_dir()
    assert not (tmp_path / "pet-shop" / "app" / "pagination").exists()


def test_update_commands_toggle_components(tmp_path: Path) -> None:
    run_command(commands("copier copy ")[0], clone_repository(tmp_path))
    service = tmp_path / "my-service"
    git(service, "init", "--quiet")
    commit(service)
    updates = commands("copier update ")
    assert updates
    for command in updates:
        run_command(command, service)
        commit(service)
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text())
    assert answers["components"] == ["crud", "jwt", "pagination", "probes"]
    assert (service / "app" / "jwt").is_dir()


def git(service: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=service, check=True)


def commit(service: Path) -> None:
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--allow-empty", "--message=work")


def clone_repository(parent: Path) -> Path:
    """A clone of this repository, the working directory of a README's reader."""
    git(parent, "clone", "--quiet", str(ROOT), "clone")
    return parent / "clone"


def run_command(command: str, folder: Path) -> None:
    """Run a command of the README with default answers to all questions."""
    if "--defaults" not in command:
        command = command.replace("copier copy ", "copier copy --defaults ")
    if "--no-input" not in command:
        command = command.replace("cookiecutter ", "cookiecutter --no-input ")
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, shell=True, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True
    )
    assert result.returncode == 0, result.stderr.decode()
