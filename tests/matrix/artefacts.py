"""What the files of a rendered service that are no Python say of it and of each other: names,
commands, paths and defaults.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from cookiecutter_answers import LOADER
from tests import oracle
from tests.combinations import Combination

#: What the platform sets and no field of the settings has.
PLATFORM_VARIABLES = {"APP_ENV", "HOST", "PORT", "SECRETS_DIR", "WEB_CONCURRENCY", "WEB_THREADS"}
#: What must get neither into a repository nor into an image.
PRIVATE = (".env", ".venv/bin/python", "app/__pycache__/a.pyc", "instance/app.db")
#: What runs commands, and names files.
WITH_COMMANDS = ("Dockerfile", "Procfile", "README.md", "compose.yaml")


def texts(service: Path) -> list[str]:
    """Every file that tells people or machines what to run."""
    docs = sorted(path.relative_to(service).as_posix() for path in service.glob("docs/*.md"))
    return [*WITH_COMMANDS, *docs]


def assert_same(what: str, found: set[str], expected: set[str]) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    assert not missing, f"{what} missing: {missing}"
    assert not surplus, f"{what} that should not be there: {surplus}"


def assert_known(what: str, found: set[str], known: set[str]) -> None:
    assert found <= known, f"{what} that are not there: {sorted(found - known)}"


def assert_equal(what: str, found: Any, expected: Any) -> None:
    """The same values in the same places, at any depth; tells of the first that differs."""
    if isinstance(found, list) and isinstance(expected, list):
        found, expected = dict(enumerate(found)), dict(enumerate(expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        assert_same(what, set(found), set(expected))
        for name, value in expected.items():
            assert_equal(f"{what}: {name}", found[name], value)
    else:
        assert found == expected, f"{what} is {found!r}, not {expected!r}"


def named(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text, re.M))


def check_texts(service: Path) -> None:
    """Nothing of the template language is left, and no text has gaps where it was."""
    for path in filter(Path.is_file, service.rglob("*")):
        text = path.read_bytes().decode()
        found = re.search(r"\{%|%\}|(?<!\$)\{\{[^{}]*\}\}|\bTODO\b|copier__", text)
        name = path.relative_to(service)
        assert found is None, f"residue in {name}: {found}"
        assert "\n\n\n\n" not in text, f"a gap in {name}"
        assert text.endswith("\n"), f"no end of line at the end of {name}"
        assert not text.endswith("\n\n"), f"blank lines at the end of {name}"
        assert "\r" not in text, f"an end of line of Windows in {name}"
        assert not re.search(r"[ \t]\n", text), f"blanks at the end of a line of {name}"


def check_names(service: Path, combination: Combination) -> None:
    """What one file names, the others name alike, and so does the oracle."""
    variables = oracle.variables(combination)
    example = (service / ".env.example").read_text()
    assert_same(".env.example's variables", named(r"^(?:# )?([A-Z_]+)=", example), variables)
    check_processes(service, combination)
    assert_equal("compose", compose(service), oracle.compose(combination))
    check_image(service, combination)
    check_workflow(service, combination)
    check_project(service, combination)
    check_readme(service, combination)
    check_paths(service)
    check_usage(service)
    check_said(service, combination)
    check_private(service)


def check_processes(service: Path, combination: Combination) -> None:
    """The image, compose and every manifest run the Procfile's commands, with known variables."""
    lines = (service / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)
    assert_same("process types", set(processes), oracle.processes(combination))
    for name, text in processes.items():
        assert text == oracle.COMMANDS[name], f"{name} runs {text!r}"
    image = (service / "Dockerfile").read_text()
    (command,) = re.findall(r"^CMD (.*)", image, re.M)
    assert " ".join(json.loads(command)) == processes["web"], "the image runs another command"
    known = oracle.variables(combination) | PLATFORM_VARIABLES
    for path in [service / "compose.yaml", *service.glob("deploy/**/*.yaml")]:
        documents = list(yaml.load_all(path.read_text(), LOADER))
        for container in containers(documents, oracle.slug(combination)):
            assert_known(f"variables in {path.name}", environment(container), known)
            own = container.get("command")
            if own:
                text = own if isinstance(own, str) else " ".join(own)
                assert text in processes.values(), f"{path.name} runs {text!r}: no process does"


def containers(node: Any, image: str) -> Iterator[dict[str, Any]]:
    """Everything in a manifest that runs this service's own image."""
    if isinstance(node, dict):
        if "image" in node and (node["image"] == image or "env" in node or "envFrom" in node):
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
    """compose.yaml, without what its services only share."""
    document = yaml.load((service / "compose.yaml").read_text(), LOADER)
    return {name: value for name, value in document.items() if not name.startswith("x-")}


def compose_settings(service: Path) -> dict[str, str]:
    """The variables of compose's ``web`` where the shell has none."""
    variables = compose(service)["services"]["web"]["environment"]
    return {k: re.sub(r"\$\{\w+:-(.*)\}", r"\1", v) for k, v in variables.items()}


def check_image(service: Path, combination: Combination) -> None:
    text = (service / "Dockerfile").read_text()
    found = {name for name in named(r"\b([A-Z_]+)=", text) if "PYTHON" not in name} - {"PATH"}
    known = oracle.variables(combination) | PLATFORM_VARIABLES
    assert_known("the image's variables", found, known)
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.M)
    variables = named(r"\b([A-Z_]+)=", block)
    assert_same("the image's variables", variables, oracle.image_variables(combination))
    assert "APP_ENV=prod " in block, "the image runs another profile"
    for pattern in (r"^VOLUME (\S+)$", r"\bUPLOAD_DIR=(\S+)", r"--owner=10001 (\S+)"):
        assert_same("the image's folders", named(pattern, text), oracle.folders(combination, "web"))
    version = combination.python_version
    assert f"ARG PYTHON_VERSION={version}\n" in text, "another Python in the image"
    assert re.search(r"^USER [1-9]\d*$", text, re.M), "the image runs as root"
    steps = re.findall(r"^(?:RUN|HEALTHCHECK) (.*)", re.sub(r" *\\\n *", " ", text), re.M)
    assert_equal("the image's steps", steps, oracle.image_steps(combination))
    assert named(r"^EXPOSE (\d+)$", text) == named(r"\bPORT=(\d+)\b", text), "ports differ"


def check_workflow(service: Path, combination: Combination) -> None:
    workflow = yaml.load((service / ".github" / "workflows" / "ci.yml").read_text(), LOADER)
    workflow["on"] = workflow.pop(True)  # in YAML 1.1, on is true
    assert_equal("CI", workflow, oracle.workflow(combination))


def check_project(service: Path, combination: Combination) -> None:
    """The requirements, with their bounds, and how tools are configured."""
    document = tomllib.loads((service / "pyproject.toml").read_text())
    project, tools = document["project"], document["tool"]
    lists = {"dependencies", "description", "optional-dependencies"}
    told = {name: value for name, value in project.items() if name not in lists}
    assert_equal("project", told, oracle.PROJECT | {"name": oracle.slug(combination)})
    assert_equal("build-system", document["build-system"], oracle.BUILD_SYSTEM)
    extras = project["optional-dependencies"]
    other = f"{project['name']}[train]"
    dev = [name for extra in extras.values() for name in extra if name != other]
    gunicorn = set() if "gunicorn" in oracle.requirements(combination) else {"gunicorn"}
    train = {"train"} if other in extras["dev"] else set()
    assert_same("extras", set(extras), {"dev"} | gunicorn | train)
    for found, expected in (
        (project["dependencies"], oracle.requirements(combination)),
        (dev, oracle.dev_requirements(combination)),
    ):
        bounds = dict(split_requirement(requirement) for requirement in found)
        assert_same("requirements", set(bounds), expected)
        for name, bound in bounds.items():
            expected_bound = oracle.BOUNDS.get(name)
            assert bound == expected_bound, f"requirement {name}{bound}, not {expected_bound}"
    expected_tools = oracle.tools(combination)
    assert_same("tools", set(tools), {"mypy", *expected_tools})  # mypy's are checked with the types
    for name, settings in expected_tools.items():
        assert tools[name] == settings, f"{name} is configured as {tools[name]}"


def split_requirement(requirement: str) -> tuple[str, str]:
    """``psycopg[binary]>=3.3,<4`` → its name, and what is asked of it, extras and all."""
    name, bound = re.fullmatch(r"([\w.-]+)(.*)", requirement, re.S).groups()  # type: ignore[union-attr]
    return name, bound


def check_readme(service: Path, combination: Combination) -> None:
    for page in service.glob("docs/*.md"):
        check_page(page, combination)
    check_page(service / "README.md", combination)
    text = (service / "README.md").read_text()
    folders = named(r"`app/(\w+)/`", text)
    assert_same("README's packages", folders, oracle.packages(combination))
    rows = re.findall(r"^\| (`[A-Z_]+`.*?) \|", text.partition("## Production")[2], re.M)
    required = {name for row in rows for name in named(r"`(\w+)`", row)}
    expected = oracle.required(combination)
    instead = {oracle.INSTEAD[name] for name in expected & set(oracle.INSTEAD)}
    assert_same("README's variables of production", required, expected | instead)


def check_page(page: Path, combination: Combination) -> None:
    """A page names variables and routes that are there, and its tables and headings stand free."""
    text, name = page.read_text(), page.name
    known = oracle.variables(combination) | PLATFORM_VARIABLES
    assert_known(f"{name}'s variables", named(r"`([A-Z]+_[A-Z_]+)[`=]", text), known)
    served = {route.split()[1] for route in oracle.routes(combination)}
    served |= {"/tmp", *oracle.folders(combination, "web")}
    paths = named(r"(?:`|127\.0\.0\.1:\d+)(/[\w./-]*)", text)
    lost = [path for path in paths if not any(is_below(path, other) for other in served)]
    assert not lost, f"{name}'s routes that are not there: {sorted(lost)}"
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for what, pattern in (
        ("a gap in a table", r"^\|.*\n\n+\|.*"),
        ("a table that text stands at", r"^[^|\n].*\n\|.*|^\|.*\n[^|\n].*"),
        ("a heading that text stands at", r"^.+\n#{1,6} .*|^#{1,6} .*\n.+"),
    ):
        found = re.search(pattern, prose, re.M)
        assert found is None, f"{name} has {what}: {found[0]}"


def is_below(start: str, path: str) -> bool:
    """Does a path start with all parts of another, as ``/api/v1/users`` with ``/api``?"""
    return f"{path}/".startswith(f"{start.rstrip('/')}/")


def check_paths(service: Path) -> None:
    """Each file and folder of the service that a text names is there."""
    files = {path.name for path in service.rglob("*.py")}
    for name in (*texts(service), "pyproject.toml"):
        text = (service / name).read_text()
        paths = named(r"(?<![\w/])((?:app|tests|migrations)/[\w./]*)", text)
        lost = [path for path in paths if not (service / path.rstrip(".")).exists()]
        assert not lost, f"{name} names what is not there: {sorted(lost)}"
        assert_known(f"{name}'s files", named(r"`(\w+\.py)`", text), files)


def check_usage(service: Path) -> None:
    """The scripts, extras, marks of tests and subcommands in what a text tells to run are there."""
    document = tomllib.loads((service / "pyproject.toml").read_text())
    marks = document["tool"]["pytest"]["ini_options"]["markers"]
    for name in texts(service):
        text = (service / name).read_text()
        scripts = named(r"\bpython3? ([\w/]+\.py)\b", text)
        lost = [script for script in scripts if not (service / script).exists()]
        assert not lost, f"{name} runs what is not there: {sorted(lost)}"
        extras = named(r"(?<=[\"`]\.\[)(\w+)(?=\])", text)
        assert_known(f"extras in {name}", extras, set(document["project"]["optional-dependencies"]))
        marked = named(r"\bpytest -m (\w+)", text)
        assert_known(f"marks in {name}", marked, {mark.partition(":")[0] for mark in marks})
        assert_known(f"copier's commands in {name}", named(r"^copier (\S+)", text), {"update"})


def check_said(service: Path, combination: Combination) -> None:
    """What holds with some components only is said with those only."""
    for (name, words), components in oracle.SAID.items():
        said = words in (service / name).read_text()
        due = bool(components & set(combination.components))
        assert said is due, f"{name} {'says' if said else 'lacks'} {words!r}"


def check_private(service: Path) -> None:
    """Neither git nor an image takes along what is a developer's own."""
    for name in (".gitignore", ".dockerignore"):
        lines = (service / name).read_text().splitlines()
        taken = [path for path in PRIVATE if not ignored(path, lines)]
        assert not taken, f"{name} does not keep out {taken}"


def ignored(path: str, lines: list[str]) -> bool:
    """The last line that matches the path, or a folder above it, decides."""
    parts = path.split("/")
    names = {"/".join(parts[i : j + 1]) for j in range(len(parts)) for i in (0, j)}
    verdict = False
    for line in lines:
        pattern = line.removeprefix("!").strip("/").removeprefix("**/")
        if any(fnmatchcase(name, pattern) for name in names):
            verdict = not line.startswith("!")
    return verdict
