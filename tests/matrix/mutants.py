"""``python -m tests.matrix.mutants``: faults that the matrix must find.

Each is seeded in a copy of the repository, and each has to turn the matrix red.
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
    """A fault: wherever a file has ``old``, a pattern, it has ``new``; and it has ``mode``.

    Where ``only`` names a combination that shows it, no other is run.
    """

    name: str
    file: str
    old: str = ""
    new: str = ""
    mode: int = 0o644
    only: str = ""


#: No fault at all: the matrix must pass, or what it finds would mean nothing.
CONTROL = Mutant("nothing", "README.md", r"\Z", "\n")

MUTANTS = [
    # Conditions that are missing, or wrong.
    Mutant(
        "a line rendered without its component",
        "template/app/crud/routes.py",
        r'# \{% if "pagination" in components %\}\n(from app.pagination.*\n)# \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "a condition that asks for another component",
        "template/app/crud/service.py",
        r'# \{% if "pagination" in components %\}',
        '# {% if "jwt" in components %}',
    ),
    Mutant(
        "a condition turned round",
        "template/app/database.py",
        r'"crud" in components or "pagination" in components',
        '"crud" in components and "pagination" in components',
    ),
    Mutant(
        "a setting for everybody",
        "template/app/config.py",
        r'    # \{% if "probes" in components %\}\n(    probe_timeout.*\n)    # \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "a README that names what was not chosen",
        "template/README.md",
        r'# \{% if "uploads" in components %\}\n(\| `app/uploads.*\n)# \{% endif %\}\n',
        r"\1",
    ),
    # Dependencies.
    Mutant("a dependency dropped", "template/pyproject.toml", r'    "flask-limiter[^\n]*\n', ""),
    Mutant(
        "a dependency for everybody",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n(    "pillow.*\n)    # \{% endif %\}\n',
        r"\1",
    ),
    Mutant(
        "an untyped library that mypy is not told of",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n    "deepface\.\*".*\n    # \{% endif %\}\n',
        "",
    ),
    # Files.
    Mutant(
        "a folder that stays",
        "copier.yml",
        r"    !/\{\{ parent \}\}/\{\{ name \}\}",
        "    !/app/jwt",
    ),
    Mutant("a file that stays", "copier.yml", r"    /app/commands.py\n", ""),
    Mutant("a file that is lost", "copier.yml", r"    /app/migrations.py", "    /app/api.py"),
    Mutant("an executable file", "template/wsgi.py", mode=0o755),
    # The other engine.
    Mutant("a question that drifts", "cookiecutter.json", "My Service", "Your Service"),
    Mutant("a filter that Cookiecutter lacks", "template/wsgi.py", '"""', '"""{{ "" | to_json }}'),
    Mutant("a hook that leaves a file", "hooks/pre_gen_project.py", r"path\.rmdir\(\)", "pass"),
    # What is rendered.
    Mutant("residue", "template/Procfile", "web:", "web: {% raw %}"),
    Mutant("a gap", "template/compose.yaml", "\nservices:", "\n\n\n\nservices:"),
    Mutant(
        "a name that is not escaped",
        "template/pyproject.toml",
        r"\{\{ description_escaped \}\}",
        "{{ description }}",
    ),
    Mutant("another Python", "template/Dockerfile", r"\{\{ python_version \}\}", "3.13"),
    Mutant("a line too long", "template/app/uploads/__init__.py", r"\n\Z", f"  # {'x' * 100}\n"),
    Mutant("bad form", "template/app/probes/routes.py", r" = ", "  =  "),
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
        "a guard that looks elsewhere",
        "template/app/jwt/guard.py",
        r"startswith\(PREFIX\)",
        'startswith(f"{PREFIX}/auth")',
    ),
    Mutant(
        "a route renamed", "template/app/pagination/routes.py", r"\{PREFIX\}/posts", "{PREFIX}/feed"
    ),
    Mutant(
        "a component that is not wired",
        "template/app/__init__.py",
        r"for name in components \| sort",
        'for name in components | reject("eq", "probes") | sort',
    ),
    Mutant("a variable renamed", "template/.env.example", "PROBE_TIMEOUT", "PROBES_TIMEOUT"),
    Mutant("a variable nobody reads", "template/compose.yaml", "REDIS_URL:", "REDIS_ADDRESS:"),
    Mutant(
        "a command that is another in compose",
        "template/compose.yaml",
        "command: flask --app wsgi db upgrade",
        "command: flask --app wsgi db stamp",
    ),
    Mutant(
        "no release process", "template/Procfile", r"release: flask --app wsgi db upgrade\n", ""
    ),
    Mutant(
        "an image for each process",
        "template/compose.yaml",
        r"  init: true",
        "  build: .\n  init: true",
    ),
    Mutant("an image that runs as root", "template/Dockerfile", r"USER 10001\n"),
    Mutant("a health check of nothing", "template/Dockerfile", "/health'", "/healthy'"),
    Mutant("another port", "template/Dockerfile", "EXPOSE 8000", "EXPOSE 8080"),
    Mutant(
        "a server nobody waits for", "template/compose.yaml", r"      redis:\n        condition.*\n"
    ),
    Mutant(
        "a check that CI leaves out", "template/.github/workflows/ci.yml", r"      - run: mypy\n"
    ),
    # What files say of each other.
    Mutant(
        "a default that is another",
        "template/.env.example",
        "PROBE_TIMEOUT=2",
        "PROBE_TIMEOUT=20",
        only="probes",
    ),
    Mutant(
        "a volume nobody defines",
        "template/compose.yaml",
        r'\["celery", "s3", "uploads"\]',
        '["celery", "s3"]',
        only="uploads",
    ),
    Mutant(
        "a variable that compose drops",
        "template/compose.yaml",
        r"# \{% if redis %\}\n    REDIS_URL",
        '# {% if "celery" in components %}\n    REDIS_URL',
        only="jwt",
    ),
    Mutant(
        "a secret that production refuses",
        "template/compose.yaml",
        "compose-only-0123456789-0123456789",
        "compose-only",
        only="nothing",
    ),
    Mutant(
        "a GPU where there is none",
        "template/compose.yaml",
        ' and accelerator == "cuda"',
        only="torch",
    ),
    Mutant(
        "files that end with the container",
        "template/Dockerfile",
        r"UPLOAD_DIR=/data/uploads",
        "WEB_THREADS=8",
        only="uploads",
    ),
    Mutant(
        "a command that is not there",
        "template/Dockerfile",
        r'\{% if "sklearn" in components %\}\n# The model',
        "{% if serving %}\n# The model",
        only="torch",
    ),
    Mutant("an image with secrets", "template/.dockerignore", r"^\.\*", ".git", only="nothing"),
    Mutant(
        "a CI that may write",
        "template/.github/workflows/ci.yml",
        "contents: read",
        "contents: write",
        only="nothing",
    ),
    Mutant(
        "a README that names a file that is not there",
        "template/README.md",
        r'\{% if "jwt" in components %\}\n\nRoutes under',
        "{% if True %}\n\nRoutes under",
        only="nothing",
    ),
    Mutant(
        "a README that names a route that is not there",
        "template/README.md",
        "files: `/api/v1/uploads`",
        "files: `/api/v1/files`",
        only="uploads",
    ),
    Mutant(
        "a gap in a table",
        "template/README.md",
        r"\n\| `app/probes/`",
        r"\n\n| `app/probes/`",
        only="probes",
    ),
    Mutant(
        "blanks at the end of a line",
        "template/compose.yaml",
        "services:",
        "services: ",
        only="nothing",
    ),
    # Values, whole.
    Mutant(
        "an address that no server has",
        "template/compose.yaml",
        "redis:6379",
        "redis:6380",
        only="jwt",
    ),
    Mutant(
        "a server that is not waited for until it is ready",
        "template/compose.yaml",
        "service_completed_successfully",
        "service_started",
        only="crud",
    ),
    Mutant(
        "credentials that stay in CI",
        "template/.github/workflows/ci.yml",
        "persist-credentials: false",
        "persist-credentials: true",
        only="nothing",
    ),
    # What a README tells to do.
    Mutant(
        "a subcommand that Copier lacks",
        "template/README.md",
        "copier update",
        "copier upgrade",
        only="nothing",
    ),
    Mutant(
        "a mark that no test has",
        "template/README.md",
        "pytest -m integration",
        "pytest -m intergration",
        only="crud",
    ),
    Mutant(
        "a script that is not there",
        "template/README.md",
        r"python serve\.py",
        "python server.py",
        only="nothing",
    ),
    Mutant(
        "a secret that README keeps to itself",
        "template/README.md",
        r"\| `JWT_SECRET_KEY.*\n",
        only="jwt",
    ),
    Mutant(
        "a body that is refused",
        "template/README.md",
        r'(users --json .\{)"email"',
        r'\1"mail"',
        only="crud",
    ),
    # Tools.
    Mutant(
        "an untyped library that nothing imports",
        "template/pyproject.toml",
        r'    # \{% if "deepface" in components %\}\n(    "deepface\.\*".*\n)    # \{% endif %\}\n',
        r"\1",
        only="nothing",
    ),
    # Behaviour, as the service's own tests see it.
    Mutant(
        "a conflict that is an error",
        "template/app/database.py",
        r"except sa\.exc\.IntegrityError",
        "except sa.exc.InvalidRequestError",
    ),
    Mutant(
        "a migration that lacks a column",
        "template/migrations/versions/users/0001_users.py",
        r'        sa.Column\("created_at".*\n',
    ),
    Mutant(
        "a test that is skipped",
        "template/tests/probes/test_probes.py",
        r"\ndef test_ready_lists",
        "\n@pytest.mark.skip\ndef test_ready_lists",
    ),
    Mutant(
        "tests that are gone", "template/tests/uploads/test_uploads.py", "def test_", "def check_"
    ),
    Mutant(
        "a process that dies",
        "template/tests/test_service.py",
        r"\Z",
        "\n\ndef test_nothing() -> None:\n    import os\n\n    os.kill(os.getpid(), 11)\n",
    ),
]


def copy_repository(folder: Path, origin: Path = ROOT) -> Path:
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__", ".*_cache", "*report")
    return Path(shutil.copytree(origin, folder, ignore=ignored))


def seed(mutant: Mutant, folder: Path) -> None:
    """Put the fault into a copy.

    Raises:
        AssertionError: the file has no place for it any more; then the mutant must follow it.
    """
    path = folder / mutant.file
    text = path.read_text()
    changed = re.sub(mutant.old, mutant.new, text) if mutant.old else text
    path.write_text(changed)
    path.chmod(mutant.mode)
    assert changed != text or mutant.mode != 0o644, f"{mutant.name}: no place in {mutant.file}"


def find(mutant: Mutant, origin: Path, cache: Path, arguments: list[str]) -> str:
    """What the matrix says of a mutant, or nothing where it passes.

    Raises:
        AssertionError: the matrix itself broke, which finds nothing.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = copy_repository(Path(name) / "copy", origin)
        seed(mutant, folder)
        command = [sys.executable, "-m", "tests.matrix", "--fail-fast", f"--cache={cache}"]
        which = [f"--only={mutant.only}"] if mutant.only else []
        command += [*arguments, *which]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    red = re.search(r"^FAILED (.*)", result.stdout, re.M)
    assert bool(red) == (result.returncode == 1), f"the matrix broke:\n{result.stderr}"
    return red[1] if red else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s mutants --", description=__doc__)
    parser.add_argument("--only", help="just the mutants whose name has this")
    parser.add_argument("--cache", type=Path, default=Path(".mypy_cache"), help="mypy's folder")
    arguments, others = parser.parse_known_args()
    chosen = [m for m in MUTANTS if not arguments.only or arguments.only in m.name]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        origin = copy_repository(Path(name) / "origin")  # may be edited while this runs
        for mutant in [CONTROL, *chosen]:
            started = time.monotonic()
            words = find(mutant, origin, arguments.cache.resolve(), others)
            if mutant is CONTROL:
                assert not words, f"red without a mutant: {words}"
                continue
            if not words:
                survivors.append(mutant.name)
            verdict = "found" if words else "SURVIVED"
            print(f"{verdict} in {duration(time.monotonic() - started)}: {mutant.name}")
            print(f"    {words[:150]}", flush=True)
    print(f"Mutants: {len(chosen)} seeded, {len(chosen) - len(survivors)} found.")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
