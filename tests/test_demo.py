"""The demo, which is the first command in the README."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.combinations import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository in which local changes are committed."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    changed = subprocess.run(
        ["git", "ls-files", "--modified", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in changed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    commit = ["git", *author, "commit", "--quiet", "--allow-empty", "--message=work"]
    subprocess.run(commit, cwd=folder, check=True)
    return folder


def demo(clone: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "noxfile.py", "-s", "demo", "--", str(folder)]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True)


def test_demo_renders_starts_and_requests_a_service(clone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my service"
    result = demo(clone, folder)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    for step in ("installing nox", "1/4", "2/4", "3/4", "4/4", "201 Created /api/v1/users/1"):
        assert step in output
    assert '"email":"ann@example.com"' in output
    assert f"cd '{folder}'" in output
    again = demo(clone, folder)
    assert again.returncode != 0
    assert "name another folder" in again.stdout + again.stderr
    tests = subprocess.run([folder / ".venv/bin/pytest", "-q"], cwd=folder, capture_output=True)
    assert tests.returncode == 0, tests.stdout
