"""What is checked of one combination, in a process of its own."""

import json
import os
import re
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import oracle
from tests.combinations import Combination, render
from tests.engines import Prepared, bake, tree, without_git
from tests.matrix.once import keep_bytecode

#: What the platform sets and no field of the settings has.
PLATFORM_VARIABLES = {"APP_ENV", "HOST", "PORT", "SECRETS_DIR", "WEB_CONCURRENCY", "WEB_THREADS"}


class Clock:
    """Core-seconds of each phase."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.phases[phase] = time.process_time() - started


def check(combination: Combination, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Render a combination into ``folder`` and check all that concerns it alone.

    Raises:
        AssertionError: something is not as it must be; the message says what.
    """
    clock = Clock()
    forget_variables(combination)
    with clock("render"), without_git():
        service = render(prepared.template, folder / "service", **combination.answers)
    with clock("parity"):
        check_parity(service, bake(prepared, folder / "cookiecutter", combination.answers))
    with clock("files"):
        check_files(service, combination)
        check_texts(service)
        check_names(service, combination)
    os.chdir(service)
    sys.path.insert(0, str(service))
    keep_bytecode(service, folder)
    with clock("boot"):
        check_application(combination)
    with clock("tests"):
        tests = run_own_tests(combination, folder / "tmp")
    return {"tests": tests, "phases": clock.phases}


def forget_variables(combination: Combination) -> None:
    """The shell's own variables must not decide what is tested."""
    for name in oracle.variables(combination) | PLATFORM_VARIABLES:
        os.environ.pop(name, None)


def check_parity(service: Path, project: Path) -> None:
    """What Cookiecutter rendered is what Copier rendered, to the byte."""
    ours, theirs = tree(service), tree(project)
    assert_same("files of Cookiecutter's", set(theirs), set(ours))
    others = [name for name in ours if ours[name] != theirs[name]]
    assert not others, f"Cookiecutter renders others: {others}"


def check_files(service: Path, combination: Combination) -> None:
    paths = list(service.rglob("*"))
    files = {path.relative_to(service).as_posix() for path in paths if path.is_file()}
    assert_same("files", files, oracle.files(combination))
    empty = [str(path) for path in paths if path.is_dir() and not any(path.iterdir())]
    assert not empty, f"empty folders: {empty}"
    programs = [str(path) for path in paths if path.is_file() and path.stat().st_mode & 0o111]
    assert not programs, f"files that are executable: {programs}"


def assert_same(what: str, found: set[str], expected: set[str]) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    assert not missing, f"{what} missing: {missing}"
    assert not surplus, f"{what} that should not be there: {surplus}"


def check_texts(service: Path) -> None:
    """Nothing of the template language is left, and no text has gaps where it was."""
    for path in filter(Path.is_file, service.rglob("*")):
        text = path.read_text()
        found = re.search(r"\{%|%\}|(?<!\$)\{\{[^{}]*\}\}|\bTODO\b|copier__", text)
        name = path.relative_to(service)
        assert found is None, f"residue in {name}: {found}"
        assert "\n\n\n\n" not in text, f"a gap in {name}"
        assert text.endswith("\n"), f"no end of line at the end of {name}"
        assert not text.endswith("\n\n"), f"blank lines at the end of {name}"


def check_names(service: Path, combination: Combination) -> None:
    """What one file names, the others name alike, and so does the oracle."""
    variables = oracle.variables(combination)
    example = (service / ".env.example").read_text()
    assert_same(".env.example's variables", named(r"^(?:# )?([A-Z_]+)=", example), variables)
    check_processes(service, combination)
    known = variables | PLATFORM_VARIABLES
    readme = (service / "README.md").read_text()
    assert_known("README's variables", named(r"`([A-Z]+_[A-Z_]+)[`=]", readme), known)
    folders = named(r"`app/(\w+)/`", readme)
    assert_same("README's packages", folders, oracle.packages(combination))
    check_image(service, combination)
    check_workflow(service, combination)
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    other = f"{project['name']}[train]"
    dev = [name for extra in extras.values() for name in extra if name != other]
    expected = {"dev", "gunicorn"} | ({"train"} if other in extras["dev"] else set())
    assert_same("extras", set(extras), expected)
    for found, expected in (
        (project["dependencies"], oracle.requirements(combination)),
        (dev, oracle.dev_requirements(combination)),
    ):
        names = {re.split(r"[\[><=;]", requirement)[0] for requirement in found}
        assert_same("requirements", names, expected)


def check_image(service: Path, combination: Combination) -> None:
    text = (service / "Dockerfile").read_text()
    found = {name for name in named(r"\b([A-Z_]+)=", text) if "PYTHON" not in name} - {"PATH"}
    known = oracle.variables(combination) | PLATFORM_VARIABLES
    assert_known("the image's variables", found, known)
    version = combination.python_version
    assert f"ARG PYTHON_VERSION={version}\n" in text, "another Python in the image"
    assert re.search(r"^USER [1-9]\d*$", text, re.M), "the image runs as root"
    (health,) = named(r"'GET', '(/\w*)'", text)
    assert health == oracle.health(combination), f"the image asks {health} for its health"
    assert named(r"^EXPOSE (\d+)$", text) == named(r"\bPORT=(\d+)\b", text), "ports differ"


def check_workflow(service: Path, combination: Combination) -> None:
    text = (service / ".github" / "workflows" / "ci.yml").read_text()
    assert f'python-version: "{combination.python_version}"' in text, "another Python in CI"
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step["run"] for step in jobs["check"]["steps"] if "run" in step]
    assert steps == oracle.ci_steps(combination), f"CI runs {steps}"
    assert "docker build" in jobs["image"]["steps"][-1]["run"], "CI builds no image"


def check_processes(service: Path, combination: Combination) -> None:
    """The image, compose and every manifest run the Procfile's commands, with known variables."""
    lines = (service / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)
    assert_same("process types", set(processes), oracle.processes(combination))
    image = (service / "Dockerfile").read_text()
    (command,) = re.findall(r"^CMD (.*)", image, re.M)
    assert " ".join(json.loads(command)) == processes["web"], "the image runs another command"
    known = oracle.variables(combination) | PLATFORM_VARIABLES
    services = yaml.safe_load((service / "compose.yaml").read_text())["services"]
    assert [name for name in services if "build" in services[name]] == ["web"], "one image is built"
    for path in [service / "compose.yaml", *service.glob("deploy/**/*.yaml")]:
        documents = list(yaml.safe_load_all(path.read_text()))
        for container in containers(documents, services["web"]["image"]):
            assert_known(f"variables in {path.name}", environment(container), known)
            own = container.get("command")
            if own:
                text = own if isinstance(own, str) else " ".join(own)
                assert text in processes.values(), f"{path.name} runs {text!r}: no process does"
    assert_same("compose's services", set(services), oracle.containers(combination))
    exposed = named(r"^EXPOSE (\d+)$", image)
    assert {port.rpartition(":")[2] for port in services["web"]["ports"]} == exposed, "ports differ"
    for server in set(services) - set(processes):
        waiting = [name for name, s in services.items() if server in s.get("depends_on", {})]
        assert waiting, f"nobody in compose waits for {server}"


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


def named(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text, re.M))


def assert_known(what: str, found: set[str], known: set[str]) -> None:
    assert found <= known, f"{what} that no setting has: {sorted(found - known)}"


def check_application(combination: Combination) -> None:
    """The service boots; its routes, settings and guarded routes are the oracle's."""
    from app import create_app  # type: ignore[import-not-found]  # the render's
    from app.config import Settings  # type: ignore[import-not-found]

    app = create_app({"APP_ENV": "test"})
    rules = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert_same("routes", rules, oracle.routes(combination))
    settings = {name.upper() for name in Settings.model_fields}
    assert_same("settings", settings, oracle.variables(combination))
    client = app.test_client()
    for name in combination.components:  # asked for a model, it would train one; tests do that
        if hasattr(app.extensions.get(name), "trains"):
            app.extensions[name].trains = False
    answers = {rule: answer(client, rule) for rule in rules}
    refusing = {rule for rule, status in answers.items() if status == 401}
    assert_same("guarded routes", refusing, oracle.guarded(combination))
    assert 500 not in answers.values(), f"errors: {answers}"
    paths = client.get("/openapi.json").json["paths"]
    documented = {f"{m.upper()} {path}" for path, operations in paths.items() for m in operations}
    business = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules if " /api/" in rule}
    assert business <= documented, f"not documented: {sorted(business - documented)}"


def answer(client: Any, rule: str) -> int:
    """The status for a request that a rule takes; what it asks for need not be there."""
    method, path = rule.split()
    path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path)
    status: int = client.open(re.sub(r"<[^>]+>", "1", path), method=method).status_code
    return status


class Counts:
    """What pytest ran: how each test ended, and in which files tests passed."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.files: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1
        if report.when == "call" and report.outcome == "passed":
            self.files.add(report.location[0])


def run_own_tests(combination: Combination, folder: Path) -> int:
    """How many of the service's own tests passed, which is all of them."""
    counts = Counts()
    arguments = ["--quiet", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={folder}"]
    status = pytest.main(arguments, plugins=[counts])
    assert status == pytest.ExitCode.OK, f"its own tests: {dict(counts.outcomes)}"
    assert set(counts.outcomes) == {"passed"}, f"not every test ran: {dict(counts.outcomes)}"
    expected = {name for name in oracle.files(combination) if Path(name).match("test_*.py")}
    assert_same("files with tests", counts.files, expected)
    return counts.outcomes["passed"]
