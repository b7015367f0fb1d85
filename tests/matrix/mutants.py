"""``python -m tests.matrix.mutants``: seeds faults, each of which the matrix must find.

Each is seeded in a copy of this repository, in which the matrix must then fail.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.combinations import ROOT
from tests.matrix.progress import duration


@dataclass(frozen=True)
class Mutant:
    """A fault: in ``file``, matches of the pattern ``old`` become ``new``; its mode is ``mode``.

    ``only`` is a combination that is affected; without it, a covering array is run.
    """

    name: str
    file: str
    old: str = ""
    new: str = ""
    mode: int = 0o644
    only: str = ""


#: The control: without a fault, the matrix must pass.
CONTROL = Mutant("nothing", "README.md", r"\Z", "\n")

MUTANTS = [
    # Missing or wrong conditions.
    Mutant(
        "a line without its condition",
        "template/app/crud/routes.py",
        r'# \{% if "pagination" in components %\}\n(from app.pagination.*\n)# \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "a condition on another component",
        "template/app/crud/service.py",
        r'# \{% if "pagination" in components %\}',
        '# {% if "jwt" in components %}',
    ),
    Mutant(
        "'and' instead of 'or' in a condition",
        "template/app/database.py",
        r'"crud" in components or "pagination" in components',
        '"crud" in components and "pagination" in components',
    ),
    Mutant(
        "a setting without its condition",
        "template/app/config.py",
        r'    # \{% if "probes" in components %\}\n(    probe_timeout.*\n)    # \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "README names a component that was not chosen",
        "template/README.md",
        r'# \{% if "uploads" in components %\}\n(\| `app/uploads.*\n)# \{% endif %\}\n',
        r"\1",
    ),
    # Dependencies.
    Mutant("a missing dependency", "template/pyproject.toml", r'    "flask-limiter[^\n]*\n', ""),
    Mutant(
        "a dependency without its condition",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n(    "pillow.*\n)    # \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "an untyped library missing from mypy's overrides",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n    "deepface\.\*".*\n    # \{% endif %\}\n',
        "",
    ),
    # Files.
    Mutant(
        "a folder that is not excluded",
        "copier.yml",
        r"    !/\{\{ parent \}\}/\{\{ name \}\}",
        "    !/app/jwt",
    ),
    Mutant("a file that is not excluded", "copier.yml", r"    /app/commands.py\n", ""),
    Mutant(
        "a file that is excluded by mistake",
        "copier.yml",
        r"    /app/migrations.py",
        "    /app/api.py",
    ),
    Mutant("an executable file", "template/wsgi.py", mode=0o755),
    # The other engine.
    Mutant("an outdated cookiecutter.json", "cookiecutter.json", "My Service", "Your Service"),
    Mutant("a filter that Cookiecutter lacks", "template/wsgi.py", '"""', '"""{{ "" | to_json }}'),
    Mutant("a hook that leaves a file", "hooks/pre_gen_project.py", r"path\.rmdir\(\)", "pass"),
    # Contents of files.
    Mutant("template syntax in a rendered file", "template/Procfile", "web:", "web: {% raw %}"),
    Mutant("three blank lines", "template/compose.yaml", "\nservices:", "\n\n\n\nservices:"),
    Mutant(
        "a name that is not escaped",
        "template/pyproject.toml",
        r"\{\{ description_escaped \}\}",
        "{{ description }}",
    ),
    Mutant("a wrong Python version", "template/Dockerfile", r"\{\{ python_version \}\}", "3.13"),
    Mutant("a line too long", "template/app/uploads/__init__.py", r"\n\Z", f"  # {'x' * 100}\n"),
    Mutant("wrong formatting", "template/app/probes/routes.py", r" = ", "  =  "),
    Mutant(
        "a wrong type",
        "template/app/pagination/routes.py",
        r"def get_post\(post_id: Id\) -> Post",
        "def get_post(post_id: Id) -> str",
    ),
    # Routes, settings and processes.
    Mutant(
        "an unprotected route",
        "template/app/uploads/routes.py",
        r"\Z",
        "\n\ncreate_upload.endpoint.token = None  # type: ignore[attr-defined]\n",
    ),
    Mutant(
        "a guard on the wrong prefix",
        "template/app/jwt/guard.py",
        r"startswith\(PREFIX\)",
        'startswith(f"{PREFIX}/auth")',
    ),
    Mutant(
        "a renamed route", "template/app/pagination/routes.py", r"\{PREFIX\}/posts", "{PREFIX}/feed"
    ),
    Mutant(
        "a component that is not initialized",
        "template/app/__init__.py",
        r"for name in components \| sort",
        'for name in components | reject("eq", "probes") | sort',
    ),
    Mutant("a renamed variable", "template/.env.example", "PROBE_TIMEOUT", "PROBES_TIMEOUT"),
    Mutant(
        "a variable that nothing reads", "template/compose.yaml", "REDIS_URL:", "REDIS_ADDRESS:"
    ),
    Mutant(
        "a different command in compose",
        "template/compose.yaml",
        "command: flask --app wsgi db upgrade",
        "command: flask --app wsgi db stamp",
    ),
    Mutant(
        "no release process", "template/Procfile", r"release: flask --app wsgi db upgrade\n", ""
    ),
    Mutant(
        "one image per process",
        "template/compose.yaml",
        r"  init: true",
        "  build: .\n  init: true",
    ),
    Mutant("an image that runs as root", "template/Dockerfile", r"USER 10001\n"),
    Mutant("a health check of a missing route", "template/Dockerfile", "/health'", "/healthy'"),
    Mutant("a wrong port", "template/Dockerfile", "EXPOSE 8000", "EXPOSE 8080"),
    Mutant(
        "a server that no process depends on",
        "template/compose.yaml",
        r"      redis:\n        condition.*\n",
    ),
    Mutant("a check missing from CI", "template/.github/workflows/ci.yml", r"      - run: mypy\n"),
    # Agreement between files.
    Mutant(
        "a wrong default in .env.example",
        "template/.env.example",
        "PROBE_TIMEOUT=2",
        "PROBE_TIMEOUT=20",
        only="probes",
    ),
    Mutant(
        "an undefined volume",
        "template/compose.yaml",
        r'\["celery", "s3", "uploads"\]',
        '["celery", "s3"]',
        only="uploads",
    ),
    Mutant(
        "a variable missing from compose",
        "template/compose.yaml",
        r"# \{% if redis %\}\n    REDIS_URL",
        '# {% if "celery" in components %}\n    REDIS_URL',
        only="jwt",
    ),
    Mutant(
        "a secret that production rejects",
        "template/compose.yaml",
        "compose-only-0123456789-0123456789",
        "compose-only",
        only="nothing",
    ),
    Mutant(
        "a GPU with accelerator=cpu",
        "template/compose.yaml",
        ' and accelerator == "cuda"',
        only="torch",
    ),
    Mutant(
        "uploads that are lost with the container",
        "template/Dockerfile",
        r"UPLOAD_DIR=/data/uploads",
        "WEB_THREADS=8",
        only="uploads",
    ),
    Mutant(
        "a missing command",
        "template/Dockerfile",
        r'\{% if "sklearn" in components %\}\n# The model',
        "{% if serving %}\n# The model",
        only="torch",
    ),
    Mutant("secrets in the image", "template/.dockerignore", r"^\.\*", ".git", only="nothing"),
    Mutant(
        "write permission in CI",
        "template/.github/workflows/ci.yml",
        "contents: read",
        "contents: write",
        only="nothing",
    ),
    Mutant(
        "README names a missing file",
        "template/README.md",
        r'\{% if "jwt" in components %\}\n\nRoutes under',
        "{% if True %}\n\nRoutes under",
        only="nothing",
    ),
    Mutant(
        "README names a missing route",
        "template/README.md",
        "files: `/api/v1/uploads`",
        "files: `/api/v1/files`",
        only="uploads",
    ),
    Mutant(
        "a blank line in a table",
        "template/README.md",
        r"\n\| `app/probes/`",
        r"\n\n| `app/probes/`",
        only="probes",
    ),
    Mutant(
        "trailing whitespace",
        "template/compose.yaml",
        "services:",
        "services: ",
        only="nothing",
    ),
    # Values.
    Mutant(
        "a wrong server address",
        "template/compose.yaml",
        "redis:6379",
        "redis:6380",
        only="jwt",
    ),
    Mutant(
        "a dependency without waiting for completion",
        "template/compose.yaml",
        "service_completed_successfully",
        "service_started",
        only="crud",
    ),
    Mutant(
        "credentials persisted in CI",
        "template/.github/workflows/ci.yml",
        "persist-credentials: false",
        "persist-credentials: true",
        only="nothing",
    ),
    # Commands in README.
    Mutant(
        "an unknown subcommand of Copier",
        "template/README.md",
        "copier update",
        "copier upgrade",
        only="nothing",
    ),
    Mutant(
        "an unknown pytest marker",
        "template/README.md",
        "pytest -m integration",
        "pytest -m intergration",
        only="crud",
    ),
    Mutant(
        "a missing script",
        "template/README.md",
        r"python serve\.py",
        "python server.py",
        only="nothing",
    ),
    Mutant(
        "a required secret missing from README",
        "template/README.md",
        r"\| `JWT_SECRET_KEY.*\n",
        only="jwt",
    ),
    Mutant(
        "an invalid request body",
        "template/README.md",
        r'(users --json .\{)"email"',
        r'\1"mail"',
        only="crud",
    ),
    # Tools.
    Mutant(
        "a mypy override for a library that is not imported",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n(    "deepface\.\*".*\n)    # \{% endif %\}\n',
        r"\1",
        only="nothing",
    ),
    # Behaviour that the service's own tests check.
    Mutant(
        "a conflict that is not handled",
        "template/app/database.py",
        r"except sa\.exc\.IntegrityError",
        "except sa.exc.InvalidRequestError",
    ),
    Mutant(
        "a column missing from a migration",
        "template/migrations/versions/users/0001_users.py",
        r'        sa.Column\("created_at".*\n',
    ),
    Mutant(
        "a skipped test",
        "template/tests/probes/test_probes.py",
        r"\ndef test_ready_lists",
        "\n@pytest.mark.skip\ndef test_ready_lists",
    ),
    Mutant(
        "tests that are not collected",
        "template/tests/uploads/test_uploads.py",
        "def test_",
        "def check_",
    ),
    Mutant(
        "a process that is killed",
        "template/tests/test_service.py",
        r"\Z",
        "\n\ndef test_nothing() -> None:\n    import os\n\n    os.kill(os.getpid(), 11)\n",
    ),
]


def copy_repository(folder: Path, origin: Path = ROOT) -> Path:
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__", ".*_cache", "*report")
    return Path(shutil.copytree(origin, folder, ignore=ignored))


def seed(mutant: Mutant, folder: Path) -> None:
    """Apply a fault to a copy.

    Raises:
        AssertionError: the pattern no longer matches; update the mutant.
    """
    path = folder / mutant.file
    text = path.read_text()
    changed = re.sub(mutant.old, mutant.new, text) if mutant.old else text
    path.write_text(changed)
    path.chmod(mutant.mode)
    assert changed != text or mutant.mode != 0o644, f"{mutant.name}: no match in {mutant.file}"


def find(mutant: Mutant, origin: Path, cache: Path, arguments: list[str]) -> str:
    """Run the matrix on a mutant; returns its first failure, or an empty string if it passed.

    Raises:
        AssertionError: the matrix itself crashed.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = copy_repository(Path(name) / "copy", origin)
        seed(mutant, folder)
        command = [sys.executable, "-m", "tests.matrix", "--fail-fast", f"--cache={cache}"]
        command += [*arguments, *([f"--only={mutant.only}"] if mutant.only else [])]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    failed = re.search(r"^FAILED (.*)", result.stdout, re.M)
    assert bool(failed) == (result.returncode == 1), f"the matrix crashed:\n{result.stderr}"
    return failed[1] if failed else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s mutants --", description=__doc__)
    parser.add_argument("--only", help="run only mutants whose name contains this")
    parser.add_argument(
        "--cache", type=Path, default=Path(".mypy_cache"), help="cache folder of mypy"
    )
    arguments, others = parser.parse_known_args()
    chosen = [m for m in MUTANTS if not arguments.only or arguments.only in m.name]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        origin = copy_repository(Path(name) / "origin")  # stays the same during the run
        for mutant in [CONTROL, *chosen]:
            started = time.monotonic()
            failure = find(mutant, origin, arguments.cache.resolve(), others)
            if mutant is CONTROL:
                assert not failure, f"failed without a fault: {failure}"
                continue
            if not failure:
                survivors.append(mutant.name)
            verdict = "found" if failure else "SURVIVED"
            print(f"{verdict} in {duration(time.monotonic() - started)}: {mutant.name}")
            print(f"    {failure[:150]}", flush=True)
    print(f"Mutants: {len(chosen)} seeded, {len(chosen) - len(survivors)} found.")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
