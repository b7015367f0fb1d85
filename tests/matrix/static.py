"""Lints and type-checks many rendered services at once.

Ruff checks each distinct file once. mypy checks the services of a batch in one run, so that it
reads the libraries they import once.
"""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Set
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mypy.api

OWN_IMPORT = re.compile(r"^(\s*)(from|import) (app|server_settings|tests)\b", re.M)


def check_batch(
    services: Mapping[str, Path], seen: Set[str], folder: Path, cache: Path
) -> dict[str, Any]:
    """Lint and type-check rendered services.

    Args:
        services: key → the folder of a rendered service.
        seen: digests of the files that have passed Ruff.
        folder: a working folder, which must not exist.
        cache: mypy's cache folder; only one batch may use it at a time.

    Returns:
        ``failures``: key → errors of that service; ``digests``: of the files that passed.
    """
    contents = new_contents(services, seen)
    failures: dict[str, str] = {}
    for key, line in [*run_ruff(contents), *run_mypy(services, folder, cache)]:
        failures[key] = f"{failures.get(key, '')}{line}\n"
    clean = [d for d, content in contents.items() if failures.keys().isdisjoint(content.owners)]
    return {"failures": failures, "digests": clean}


@dataclass
class Content:
    """A file that one or more services contain."""

    path: Path
    owners: list[str]


def new_contents(services: Mapping[str, Path], seen: Set[str]) -> dict[str, Content]:
    """Digest → a Python file, for those that Ruff has not seen."""
    found: dict[str, Content] = {}
    for key, service in services.items():
        project = tomllib.loads((service / "pyproject.toml").read_text())
        settings = repr(project["tool"]["ruff"]).encode()
        for path in sorted(service.rglob("*.py")):
            name = path.relative_to(service).as_posix().encode()
            digest = hashlib.sha256(b"\0".join([settings, name, path.read_bytes()])).hexdigest()
            if digest not in seen:
                found.setdefault(digest, Content(path, [])).owners.append(key)
    return found


def run_ruff(contents: Mapping[str, Content]) -> Iterator[tuple[str, str]]:
    """Yield the key of a service and an error, for each error."""
    by_path = {str(content.path): content for content in contents.values()}
    if not by_path:
        return
    root = os.path.commonpath([*by_path, str(next(iter(contents.values())).path.parent)])
    for arguments in (["check"], ["format", "--check"]):
        options = ["--output-format=concise", "--no-cache"]
        command = [sys.executable, "-m", "ruff", *arguments, *options, *by_path]
        result = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if result.returncode == 0:
            # Make sure that no file was ignored.
            seen = re.search(r"(\d+) files? already formatted|All checks passed", result.stdout)
            assert seen, f"Ruff was not run: {result.stdout}"
            assert seen[1] in (None, str(len(by_path))), f"{seen[0]}, of {len(by_path)}"
            continue
        for line in (result.stdout + result.stderr).splitlines():
            path = str(Path(root, line.partition(":")[0]))
            if path in by_path:
                for owner in by_path[path].owners:
                    yield owner, f"ruff {line.removeprefix(root)}"
            elif not re.match(r"Found \d+|\d+ files? |\[\*\]|No fixes|$", line):
                yield from ((key, f"ruff {line}") for c in contents.values() for key in c.owners)


def run_mypy(services: Mapping[str, Path], folder: Path, cache: Path) -> Iterator[tuple[str, str]]:
    """Yield the key of a service and an error, for each error. Each service is a package."""
    folder.mkdir(parents=True)
    keys = list(services)
    for number, key in enumerate(keys):
        stage_package(services[key], folder / f"s{number}")
    yield from write_config(services, folder / "mypy.ini")
    arguments = [f"--config-file={folder / 'mypy.ini'}", f"--cache-dir={cache}"]
    arguments += ["--namespace-packages", "--explicit-package-bases", "--no-error-summary"]
    with chdir(folder):
        names = [f"s{number}" for number in range(len(keys))]
        output, errors, status = mypy.api.run([*arguments, *names])
    lines = (output + errors).splitlines()
    assert status == 0 or lines, "mypy failed without output"
    for line in lines:
        owner = re.match(r"s(\d+)/", line)
        yield from ((key, f"mypy {line}") for key in ([keys[int(owner[1])]] if owner else keys))


def stage_package(service: Path, folder: Path) -> None:
    """Copy the Python files into a package, and change their imports accordingly."""
    for path in [
        *service.glob("*.py"),
        *service.glob("app/**/*.py"),
        *service.glob("tests/**/*.py"),
    ]:
        target = folder / path.relative_to(service)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(OWN_IMPORT.sub(rf"\1\2 {folder.name}.\3", path.read_text()))


def write_config(services: Mapping[str, Path], path: Path) -> Iterator[tuple[str, str]]:
    """Write one configuration for all services, and yield the errors in their own.

    These differ only in their untyped libraries, which must be those that the service imports.
    """
    named = {key: untyped(service) for key, service in services.items()}
    libraries = sorted(set().union(*named.values()))
    lines = ["[mypy]", "strict = true"]
    for library in libraries:
        lines += [f"[mypy-{library}]", "follow_imports = skip", "ignore_missing_imports = true"]
    path.write_text("\n".join(lines))
    for key, service in services.items():
        texts = "\n".join(file.read_text() for file in service.rglob("*.py"))
        for library in set(libraries) - named[key]:
            if imports(library, texts):
                yield key, f"mypy has no override for {library}, which is imported"
        for library in named[key]:
            if not imports(library, texts):
                yield key, f"mypy has an override for {library}, which is not imported"


def imports(library: str, texts: str) -> bool:
    return bool(re.search(rf"^\s*(from|import) {library.removesuffix('.*')}\b", texts, re.M))


def untyped(service: Path) -> set[str]:
    """The untyped libraries in a service's mypy settings; other settings are the same for all."""
    project = tomllib.loads((service / "pyproject.toml").read_text())
    settings = dict(project["tool"]["mypy"])
    overrides = settings.pop("overrides")
    scripts = sorted(path.name for path in service.glob("*.py") if path.stem.isidentifier())
    assert settings == {"files": ["app", "tests", *scripts], "strict": True}, settings
    (override,) = overrides
    modules = set(override.pop("module"))
    assert override == {"follow_imports": "skip", "ignore_missing_imports": True}, override
    return modules
