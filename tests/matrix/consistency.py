"""Checks that the files of a rendered service agree with each other: variables, commands, paths,
requirements and defaults in Dockerfile, compose, manifests, CI and documentation.
"""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from cookiecutter_answers import LOADER
from tests import oracle
from tests.combinations import Combination

#: Variables that are not fields of the settings.
PLATFORM_VARIABLES = {
    *("APP_ENV", "DRAIN_FILE", "HOST", "PORT", "SECRETS_DIR", "WEB_CONCURRENCY", "WEB_THREADS"),
    *("AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REQUEST_CHECKSUM_CALCULATION"),
    "REMAP_SIGTERM",  # read by Celery
    "AWS_SECRET_ACCESS_KEY",
}
#: Requirements that the service uses without importing them.
NEVER_IMPORTED = {
    "flask-swagger-ui",
    "onnxruntime",
    "opencv-contrib-python-headless",
    "onnx",
    "onnxscript",
    "granian",
    "gunicorn",
    "mypy",
    "packaging",
    "psycopg",
    "pytest-cov",
    "ruff",
    "simple-websocket",
}
#: Module → distribution, where the names differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "argon2": "argon2-cffi",
    "botocore": "boto3",
    "cv2": "opencv-contrib-python-headless",
    "dotenv": "pydantic-settings",
    "itsdangerous": "flask",
    "markupsafe": "flask",
    "jwt": "flask-jwt-extended",
    "pydantic_core": "pydantic",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "socketio": "python-socketio",
    "websocket": "websocket-client",
    "werkzeug": "flask",
    "click": "flask",
}
#: The modules of a service.
OWN_MODULES = {"app", "server_settings", "tests", "wsgi"}
LOCAL = {"127", "localhost"}
#: Must be ignored by git and left out of images.
PRIVATE = (".env", ".venv/bin/python", "app/__pycache__/a.pyc", "instance/app.db")
#: Files that contain commands and names of files.
WITH_COMMANDS = ("AGENTS.md", "Dockerfile", "Makefile", "Procfile", "README.md", "compose.yaml")


def texts(service: Path) -> list[str]:
    """Every file that contains commands."""
    docs = sorted(path.relative_to(service).as_posix() for path in service.glob("docs/*.md"))
    return [*WITH_COMMANDS, *docs]


def assert_same(what: str, found: set[str], expected: set[str]) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    assert not missing, f"{what} missing: {missing}"
    assert not surplus, f"unexpected {what}: {surplus}"


def assert_known(what: str, found: set[str], known: set[str]) -> None:
    assert found <= known, f"{what} that do not exist: {sorted(found - known)}"


def find_all(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text, re.M))


def check_texts(service: Path) -> None:
    """No file contains template syntax, or gaps where it was."""
    for path in filter(Path.is_file, service.rglob("*")):
        text = path.read_bytes().decode()
        found = re.search(r"\{%|%\}|(?<!\$)\{\{[^{}]*\}\}|\bTODO\b|copier__", text)
        name = path.relative_to(service)
        assert found is None, f"template syntax in {name}: {found}"
        assert "\n\n\n\n" not in text, f"three blank lines in {name}"
        assert text.endswith("\n"), f"no newline at the end of {name}"
        assert not text.endswith("\n\n"), f"blank lines at the end of {name}"
        assert "\r" not in text, f"Windows line endings in {name}"
        assert not re.search(r"[ \t]\n", text), f"trailing whitespace in {name}"


def check_names(service: Path, combination: Combination) -> None:
    """All files use the same names."""
    known = variables(service) | PLATFORM_VARIABLES
    check_processes(service, combination, known)
    check_compose(service, combination)
    check_image(service, combination, known)
    check_workflow(service, combination)
    check_requirements(service)
    check_readme(service, combination, known)
    check_paths(service)
    check_usage(service)
    check_private(service)


def variables(service: Path) -> set[str]:
    """The environment variables in ``.env.example``."""
    return find_all(r"^(?:# )?([A-Z][A-Z0-9_]*)=", (service / ".env.example").read_text())


def check_processes(service: Path, combination: Combination, known: set[str]) -> None:
    """Image, compose and manifests run the commands of the Procfile with known variables."""
    lines = (service / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)
    assert_same("Procfile: process types", set(processes), oracle.processes(combination))
    image = (service / "Dockerfile").read_text()
    (command,) = re.findall(r"^CMD (.*)", image, re.M)
    assert " ".join(json.loads(command)) == processes["web"], (
        "Dockerfile: CMD is not the web process"
    )
    for path in [service / "compose.yaml", *service.glob("deploy/**/*.yaml")]:
        documents = list(yaml.load_all(path.read_text(), LOADER))
        for container in containers(documents, oracle.slug(combination)):
            assert_known(f"{path.name}: variables", environment(container), known)
            command = container.get("command") or container.get("args")
            if command:
                text = command if isinstance(command, str) else " ".join(command)
                known_command = text in processes.values() or text.startswith("flask --app wsgi ")
                assert known_command, f"{path.name}: no process type runs {text!r}"
    for path in service.glob("deploy/**/kustomization.yaml"):
        overridden = find_all(r"^ {6}- ([A-Z][A-Z0-9_]*)=", path.read_text())
        assert_known(f"{path}: variables", overridden, known)


def containers(node: Any, image: str) -> Iterator[dict[str, Any]]:
    """The containers in a manifest that run the service's image."""
    if isinstance(node, dict):
        if node.get("image") == image or node.get("name") == "service":
            yield node
        for value in node.values():
            yield from containers(value, image)
    elif isinstance(node, list):
        for value in node:
            yield from containers(value, image)


def environment(container: dict[str, Any]) -> set[str]:
    listed = container.get("environment", {}), container.get("env", [])
    return {*listed[0], *(entry["name"] for entry in listed[1])}


def compose(service: Path) -> dict[str, Any]:
    """compose.yaml without its extension fields (``x-…``)."""
    document = yaml.load((service / "compose.yaml").read_text(), LOADER)
    return {name: value for name, value in document.items() if not name.startswith("x-")}


def compose_settings(service: Path) -> dict[str, str]:
    """The environment of compose's ``web`` service when no variable is set in the shell."""
    variables = compose(service)["services"]["web"]["environment"]
    return {k: re.sub(r"\$\{\w+:-(.*)\}", r"\1", v) for k, v in variables.items()}


def check_compose(service: Path, combination: Combination) -> None:
    """compose.yaml has all process types and servers, and what they depend on."""
    document = compose(service)
    services, processes = document["services"], oracle.processes(combination)
    servers = set(services) - processes
    assert processes <= set(services), f"compose.yaml: no {sorted(processes - set(services))}"
    assert oracle.servers(combination) <= servers, f"compose.yaml: only has {sorted(servers)}"
    volumes = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert_same("compose.yaml: volumes", set(document.get("volumes") or {}), volumes)
    for name, settings in services.items():
        waits = set(settings.get("depends_on", ()))
        assert_known(f"compose.yaml: dependencies of {name}", waits, set(services))
        addresses = {str(value) for value in settings.get("environment", {}).values()}
        hosts = find_all(r"^\w+://(?:[^@/]*@)?([a-z0-9]+)[:/]", "\n".join(sorted(addresses)))
        assert_known(
            f"compose.yaml: hosts in the environment of {name}", hosts - LOCAL, set(services)
        )
        assert ("build" in settings) is (name == "web"), f"compose.yaml: {name} builds an image"
        if name in servers:
            continue
        assert settings["init"] is True, f"compose.yaml: {name} has no init"
        image = oracle.slug(combination)
        assert settings["image"] == image, f"compose.yaml: {name} runs {settings['image']}"
        gpu = "nvidia" in json.dumps(settings.get("deploy", {}))
        cuda = oracle.accelerator(combination) == "cuda"
        assert gpu is cuda, f"compose.yaml: {name} {'has' if gpu else 'lacks'} a GPU"


def check_image(service: Path, combination: Combination, known: set[str]) -> None:
    """The image runs in production mode as an unprivileged user."""
    text = (service / "Dockerfile").read_text()
    found = {name for name in find_all(r"\b([A-Z_]+)=", text) if "PYTHON" not in name} - {"PATH"}
    assert_known("Dockerfile: variables", found, known)
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.M)
    assert "APP_ENV=prod " in block, "Dockerfile: APP_ENV is not prod"
    version = combination.python_version
    assert f"ARG PYTHON_VERSION={version}\n" in text, "Dockerfile: wrong Python version"
    assert re.search(r"^USER [1-9]\d*$", text, re.M), "Dockerfile: runs as root"
    assert find_all(r"^EXPOSE (\d+)$", text) == find_all(r"\bPORT=(\d+)\b", text), (
        "Dockerfile: ports"
    )
    health = oracle.health(combination)
    assert f"'GET', '{health}'" in text, f"Dockerfile: the health check does not request {health}"
    trains = "train-sklearn" in text
    assert trains is ("sklearn" in combination.components), "Dockerfile: train-sklearn"
    for folder in find_all(r"^VOLUME (\S+)$", text):
        assert f"={folder}" in block, f"Dockerfile: no variable is set to {folder}"
        assert f"10001 {folder}" in text, f"Dockerfile: {folder} is not writable by the service"


def check_workflow(service: Path, combination: Combination) -> None:
    """CI runs all checks on the chosen Python, with minimal permissions."""
    github, gitlab = service / ".github" / "workflows" / "ci.yml", service / ".gitlab-ci.yml"
    path = github if combination.ci == "github" else gitlab
    text = path.read_text()
    document = yaml.load(text, LOADER)
    checks = {"ruff check .", "ruff format --check .", "mypy", "pytest --cov"}
    if oracle.has_tables(combination) or oracle.uses_redis(combination):
        checks.add("pytest -m integration")
    missing = sorted(check for check in checks if f"{check}\n" not in text)
    assert not missing, f"{path.name}: does not run {missing}"
    makefile = (service / "Makefile").read_text()
    missing = sorted(check for check in checks if f"$(BIN)/{check}\n" not in makefile)
    assert not missing, f"Makefile: does not run {missing}"
    assert "docker build" in text, f"{path.name}: does not build the image"
    assert combination.python_version in text, f"{path.name}: wrong Python version"
    if path == github:
        assert document["permissions"] == {"contents": "read"}, "ci.yml: permissions"
        for job in document["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout"):
                    persist = step.get("with", {}).get("persist-credentials")
                    assert persist is False, "ci.yml: checkout persists credentials"


def check_requirements(service: Path) -> None:
    """Imports are required, requirements are used, and each has a lower and an upper bound."""
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    required = dict(map(split_requirement, project["dependencies"]))
    optional = dict(map(split_requirement, extras))
    optional.pop(project["name"], None)  # an extra that includes another
    for name, bound in required.items():
        assert re.search(r">=[\d.]+,<[\d.]+|==", bound), f"pyproject.toml: bounds of {name}"
    for name, bound in optional.items():
        assert re.search("[>=]=", bound), f"pyproject.toml: {name} needs a lower bound"
    scripts = [
        *service.glob("*.py"),
        *service.rglob("app/**/*.py"),
        *service.glob("migrations/*.py"),
    ]
    imported = distributions(scripts)
    tested = imported | distributions(service.rglob("tests/**/*.py"))
    known = set(required) | set(optional)
    assert_known("pyproject.toml: imports without a requirement", imported, known)
    assert_known("pyproject.toml: imports of tests without a requirement", tested, known)
    unused = set(required) - imported - NEVER_IMPORTED
    assert not unused, f"pyproject.toml: required but never imported: {sorted(unused)}"
    unused = set(optional) - tested - NEVER_IMPORTED
    assert not unused, f"pyproject.toml: in an extra but never imported: {sorted(unused)}"


def distributions(files: Iterable[Path]) -> set[str]:
    """The names of the distributions that files import."""
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {
        DISTRIBUTIONS.get(name, name.replace("_", "-"))
        for name in found - sys.stdlib_module_names - OWN_MODULES
    }


def split_requirement(requirement: str) -> tuple[str, str]:
    """``psycopg[binary]>=3.3,<4`` → ``("psycopg", "[binary]>=3.3,<4")``."""
    name, bound = re.fullmatch(r"([\w.-]+)(.*)", requirement, re.S).groups()  # type: ignore[union-attr]
    return name, bound


def check_readme(service: Path, combination: Combination, known: set[str]) -> None:
    for page in service.glob("docs/*.md"):
        check_page(page, combination, known)
    check_page(service / "README.md", combination, known)
    text = (service / "README.md").read_text()
    folders = find_all(r"`app/(\w+)/`", text)
    assert_same("README's packages", folders, oracle.packages(combination))


def required_variables(service: Path) -> list[set[str]]:
    """The variables in each row of README's production table, one of which must be set."""
    chapter = (service / "README.md").read_text().partition("## Production")[2]
    chapter = chapter.partition("\n## ")[0]
    return [
        find_all(r"`(\w+)`", row) for row in re.findall(r"^\| (`[A-Z\d_]+`.*?) \|", chapter, re.M)
    ]


def check_page(page: Path, combination: Combination, known: set[str]) -> None:
    """A page names existing variables and routes, and is well-formed Markdown."""
    text, name = page.read_text(), page.name
    assert_known(f"{name}'s variables", find_all(r"`([A-Z\d]+_[A-Z\d_]+)[`=]", text), known)
    served = {route.split()[1] for route in oracle.routes(combination)}
    served |= {
        "/tmp",
        "/run/secrets/service",
        "/data/deepface",
        *find_all(
            r"^VOLUME (\S+)$", (page.parents[page.parent.name == "docs"] / "Dockerfile").read_text()
        ),
    }
    paths = find_all(r"(?:`|127\.0\.0\.1:\d+)(/[\w./-]*)", text)
    unknown = [path for path in paths if not any(is_below(path, other) for other in served)]
    assert not unknown, f"{name}'s routes that do not exist: {sorted(unknown)}"
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for what, pattern in (
        ("a blank line in a table", r"^\|.*\n\n+\|.*"),
        ("no blank line around a table", r"^[^|\n].*\n\|.*|^\|.*\n[^|\n].*"),
        ("no blank line around a heading", r"^.+\n#{1,6} .*|^#{1,6} .*\n.+"),
    ):
        found = re.search(pattern, prose, re.M)
        assert found is None, f"{name} has {what}: {found[0]}"


def is_below(start: str, path: str) -> bool:
    """Whether ``path`` is ``start`` or below it, as ``/api/v1/users`` is below ``/api``."""
    return f"{path}/".startswith(f"{start.rstrip('/')}/")


def check_paths(service: Path) -> None:
    """Files and folders named in texts exist."""
    files = {path.name for path in service.rglob("*.py")}
    for name in (*texts(service), "pyproject.toml"):
        text = (service / name).read_text()
        paths = find_all(r"(?<![\w/])((?:app|tests|migrations)/[\w./]*)", text)
        missing = [path for path in paths if not (service / path.rstrip(".")).exists()]
        assert not missing, f"{name} names files that do not exist: {sorted(missing)}"
        assert_known(f"{name}'s files", find_all(r"`(\w+\.py)`", text), files)


def check_usage(service: Path) -> None:
    """Scripts, extras, pytest markers and subcommands in commands exist."""
    document = tomllib.loads((service / "pyproject.toml").read_text())
    marks = document["tool"]["pytest"]["ini_options"]["markers"]
    for name in texts(service):
        text = (service / name).read_text()
        scripts = find_all(r"\bpython3? ([\w/]+\.py)\b", text)
        missing = [script for script in scripts if not (service / script).exists()]
        assert not missing, f"{name} runs scripts that do not exist: {sorted(missing)}"
        extras = find_all(r"(?<=[\"`]\.\[)(\w+)(?=\])", text)
        assert_known(f"extras in {name}", extras, set(document["project"]["optional-dependencies"]))
        markers = find_all(r"\bpytest -m (\w+)", text)
        assert_known(f"markers in {name}", markers, {mark.partition(":")[0] for mark in marks})
        assert_known(
            f"subcommands of copier in {name}", find_all(r"^copier (\S+)", text), {"update"}
        )


def check_private(service: Path) -> None:
    """Private files of developers are ignored by git and left out of images."""
    for name in (".gitignore", ".dockerignore"):
        lines = (service / name).read_text().splitlines()
        included = [path for path in PRIVATE if not ignored(path, lines)]
        assert not included, f"{name} does not ignore {included}"


def ignored(path: str, lines: list[str]) -> bool:
    """Whether a path is ignored: the last line that matches it or a parent folder decides."""
    parts = path.split("/")
    names = {"/".join(parts[i : j + 1]) for j in range(len(parts)) for i in (0, j)}
    verdict = False
    for line in lines:
        pattern = line.removeprefix("!").strip("/").removeprefix("**/")
        if any(fnmatchcase(name, pattern) for name in names):
            verdict = not line.startswith("!")
    return verdict
