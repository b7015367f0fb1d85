"""``python -m tests.matrix.update``: tests that services can be updated without conflicts.

Updates services that their owner has customized: from each combination of a covering array to each
with one component added or removed, and from each release to the working tree. The result of
``copier update`` must equal a fresh render with the same customizations, for both engines.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import copier
from cookiecutter.main import cookiecutter

from tests.combinations import ROOT, Combination, covering, render
from tests.engines import SOURCES, as_text, cache_compiled_templates, snapshot, tree
from tests.matrix.__main__ import positive
from tests.matrix.forks import Forks
from tests.matrix.progress import Progress

#: The owner's edits of rendered files: file, old text, new text.
EDITS = [
    ("README.md", "\n", "\n\nRead our handbook first.\n"),
    ("pyproject.toml", 'version = "1.0.0"', 'version = "1.4.2"'),
    ("app/index.py", '"""', '"""Ours: '),
    ("wsgi.py", "app = create_app()", "application = app = create_app()"),
]
#: Files added by the owner.
ADDED = {
    "NOTES.md": "What we want to remember.\n",
    "app/billing/__init__.py": '"""Ours: no component of the template."""\n',
    "tests/billing/test_billing.py": "def test_billing() -> None:\n    assert 1 + 1 == 2\n",
}
LIMIT = 300


@dataclass(frozen=True)
class Move:
    """An update from one combination to another, or from a release."""

    source: Combination
    target: Combination
    engine: str
    """Which engine rendered the service: ``copier`` or ``cookiecutter``."""
    release: str = ""
    """The tag that the service was rendered from; empty for the working tree."""

    def __str__(self) -> str:
        return f"{self.engine} {self.release or 'now'}: {self.source} -> {self.target}"


def moves(strength: int, releases: list[str]) -> Iterator[Move]:
    for source in covering(strength):
        for target, engine in product(source.toggled(), ENGINES):
            yield Move(source, target, engine)
    for release in releases if len(releases) >= 2 else []:
        for combination, engine in product(covering(1), ENGINES):
            yield Move(combination, combination, engine, release)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "gc.auto=0"]
    command = ["git", *identity, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=work")


def repository(folder: Path, origin: Path = ROOT) -> Path:
    """A clone of this repository with the working tree as its last commit, or a new repository with
    just that commit if there is no history, as in a shallow clone.
    """
    if has_history(origin):
        git(origin, "clone", "--quiet", "--no-hardlinks", str(origin), str(folder))
        for name in SOURCES:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    else:
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet")
    snapshot(origin, folder)
    commit(folder)
    return folder


def has_history(folder: Path) -> bool:
    if not (folder / ".git").exists():
        return False
    return git(folder, "rev-parse", "--is-shallow-repository").strip() == "false"


def releases(template: Path) -> list[str]:
    return git(template, "tag", "--list", "v*", "--sort=version:refname").split()


def copy(template: Path, folder: Path, combination: Combination, ref: str) -> Path:
    return render(template, folder, ref, **combination.answers)


def bake(template: Path, folder: Path, combination: Combination, ref: str) -> Path:
    """Render with Cookiecutter and its hooks, as from the command line."""
    folder.mkdir()
    project = cookiecutter(
        f"git+file://{template}",
        checkout=ref,
        no_input=True,
        extra_context={name: as_text(value) for name, value in combination.answers.items()},
        output_dir=str(folder),
        default_config={"replay_dir": f"{folder}/replay", "cookiecutters_dir": f"{folder}/clone"},
    )
    return Path(project)


ENGINES = {"copier": copy, "cookiecutter": bake}


def customize(service: Path) -> None:
    """Apply the owner's edits."""
    for name, old, new in EDITS:
        path = service / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))
    for name, text in ADDED.items():
        path = service / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def check(move: Move, template: Path, folder: Path) -> None:
    """Render, customize and update a service, and compare it with a fresh render of the target.

    Raises:
        AssertionError: they differ; the message lists the files.
    """
    folder.mkdir()
    engine = ENGINES[move.engine]
    service = engine(template, folder / "service", move.source, move.release or "HEAD")
    git(service, "init", "--quiet")
    customize(service)
    commit(service)
    copier.run_update(
        service,
        data=move.target.answers,
        vcs_ref="HEAD" if move.release else copier.VcsRef.CURRENT,
        defaults=True,
        overwrite=True,
        quiet=True,
    )
    fresh = copy(template, folder / "fresh", move.target, "HEAD")
    customize(fresh)
    forget_source(service, fresh)
    assert_same_tree(service, fresh)
    shutil.rmtree(folder)


def forget_source(*services: Path) -> None:
    """Ignore differences in how the template's location is written."""
    for service in services:
        path = service / ".copier-answers.yml"
        path.write_text(re.sub(r"^_src_path: .*", "_src_path: here", path.read_text(), flags=re.M))


def assert_same_tree(service: Path, fresh: Path) -> None:
    found = {name: of for name, of in tree(service).items() if not name.startswith(".git/")}
    expected = tree(fresh)
    surplus, missing = sorted(found.keys() - expected), sorted(expected.keys() - found)
    assert not surplus, f"left by the update: {surplus}"
    assert not missing, f"missing after the update: {missing}"
    changed = [name for name in sorted(found) if found[name] != expected[name]]
    for name in changed:
        print(f"{name} is\n{found[name][1].decode()}\ninstead of\n{expected[name][1].decode()}")
    assert not changed, f"different from a fresh render: {changed}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s update --", description=__doc__)
    parser.add_argument(
        "--strength", type=positive, default=2, help="strength of the covering array (2)"
    )
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="number of parallel processes"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="update-"))
    try:
        return run(folder, arguments.strength, arguments.jobs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, strength: int, jobs: int) -> int:
    """Check all updates; returns the exit status."""
    cache_compiled_templates()
    template = repository(folder / "template")
    selected = list(moves(strength, releases(template)))
    queue = deque(enumerate(selected))
    forks = Forks(jobs, folder / "logs")
    progress = Progress(len(selected))
    done: dict[str, str] = {}
    try:
        while queue or forks.children:
            while queue and not forks.full:
                number, move = queue.popleft()
                place = folder / str(number)
                forks.start(str(move), lambda m=move, p=place: check(m, template, p), LIMIT)  # type: ignore[misc]
            outcome = forks.wait()
            done[outcome.key] = outcome.failure
            if outcome.failure:
                print(
                    f"\nFAILED {outcome.key}: {outcome.failure}\n{outcome.log.read_text()[-4000:]}"
                )
            progress.show(len(done), sum(map(bool, done.values())))
    finally:
        forks.stop()
        progress.end()
    passed = list(done.values()).count("")
    print(f"Updates: {len(selected)} expected, {len(done)} run, {passed} passed.")
    return 0 if passed == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main())
