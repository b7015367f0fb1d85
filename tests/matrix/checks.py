"""The checks of one combination, which run in their own process."""

import importlib
import io
import json
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from dotenv import dotenv_values

from tests import oracle
from tests.combinations import ROOT, Combination, render
from tests.engines import Prepared, bake, tree, without_git
from tests.matrix.caching import share_bytecode
from tests.matrix.consistency import (
    PLATFORM_VARIABLES,
    assert_known,
    assert_same,
    check_names,
    check_texts,
    compose_settings,
    required_variables,
    texts,
    variables,
)

#: Settings that libraries read from Flask's configuration.
READ_BY_LIBRARIES = {
    *("JWT_ACCESS_TOKEN_EXPIRES", "JWT_DECODE_LEEWAY", "JWT_REFRESH_TOKEN_EXPIRES"),
    *("JWT_SECRET_KEY", "KEY_PREFIX", "MAX_CONTENT_LENGTH", "SECRET_KEY"),
}
#: Settings that have an example value rather than the default in ``.env.example``.
EXAMPLES = {"DATABASE_URL"}


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
    """Render a combination into ``folder`` with both engines, and check and test it.

    Returns:
        ``tests``: how many of its tests passed; ``phases``: core-seconds of each phase.

    Raises:
        AssertionError: a check failed.
    """
    clock = Clock()
    forget_variables()
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
    share_bytecode(service, folder)
    with clock("boot"):
        check_application(combination, service)
    with clock("tests"):
        tests = run_own_tests(combination, folder / "tmp")
    return {"tests": tests, "phases": clock.phases}


def forget_variables() -> None:
    """Unset all variables that a service reads."""
    names = variables(ROOT / "template") | PLATFORM_VARIABLES
    for name in names:
        os.environ.pop(name, None)


def check_parity(service: Path, project: Path) -> None:
    """Copier and Cookiecutter rendered identical files."""
    ours, theirs = tree(service), tree(project)
    assert_same("files from Cookiecutter", set(theirs), set(ours))
    different = [name for name in ours if ours[name] != theirs[name]]
    assert not different, f"Cookiecutter renders different files: {different}"


def check_files(service: Path, combination: Combination) -> None:
    paths = list(service.rglob("*"))
    files = {path.relative_to(service).as_posix() for path in paths if path.is_file()}
    assert_same("files", files, oracle.files(combination))
    empty = [str(path) for path in paths if path.is_dir() and not any(path.iterdir())]
    assert not empty, f"empty folders: {empty}"
    executable = [str(path) for path in paths if path.is_file() and path.stat().st_mode & 0o111]
    assert not executable, f"executable files: {executable}"


def check_application(combination: Combination, service: Path) -> None:
    """The service starts; its routes, guarded routes and settings match the oracle."""
    from app import create_app  # type: ignore[import-not-found]  # the render's
    from app.config import Settings  # type: ignore[import-not-found]

    values: dict[str, object] = {"APP_ENV": "test"}
    if {"sklearn", "torch"} & set(combination.components):
        values["MODELS_AT_START"] = False  # the service's tests train models
    app = create_app(values)
    rules = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert_same("routes", rules, oracle.routes(combination))
    settings = {name.upper() for name in Settings.model_fields}
    assert_same(".env.example: variables", variables(service), settings)
    check_settings(service)
    check_commands(app, service)
    client = app.test_client()
    answers = {rule: answer(client, rule) for rule in rules}
    guarded = {rule for rule, status in answers.items() if status == 401}
    assert_same("guarded routes", guarded, oracle.guarded(combination))
    assert 500 not in answers.values(), f"errors: {answers}"
    check_examples(client, service)
    paths = client.get("/openapi.json").json["paths"]
    documented = {f"{m.upper()} {path}" for path, operations in paths.items() for m in operations}
    api = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules if " /api/" in rule}
    assert api <= documented, f"not documented: {sorted(api - documented)}"
    if "sqlalchemy" in app.extensions:
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()


def check_examples(client: Any, service: Path) -> None:
    """The request bodies in README match the API."""
    document = client.get("/openapi.json").json
    for path, text in re.findall(
        r"://[^/]+(/\S+) --json '(.*?)'", (service / "README.md").read_text()
    ):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema, fields = document["components"]["schemas"][name], set(json.loads(text))
        assert_known(f"fields in README's {path}", fields, set(schema["properties"]))
        assert_known(f"required fields of README's {path}", set(schema.get("required", [])), fields)


def check_settings(service: Path) -> None:
    """Settings are used; production requires what README says and accepts compose's values;
    ``.env.example`` shows the defaults.
    """
    from app.config import ROOT, ConfigError, Settings, load_settings

    code = "".join(p.read_text() for p in service.rglob("*.py") if p.name != "config.py")
    named = {field.upper() for field in Settings.model_fields}
    for name in {n for n in named - READ_BY_LIBRARIES if not n.startswith("PROXY_HOPS_")}:
        assert f'"{name}"' in code, f"config.py: nothing reads {name}"
    with pytest.raises(ConfigError) as caught:
        load_settings({"APP_ENV": "prod"})
    missing = set(re.findall(r"\b([A-Z0-9_]+): ", caught.value.message))
    rows = required_variables(service)
    assert len(rows) == len(missing), f"README.md: production requires {sorted(missing)}"
    assert all(missing & row for row in rows), f"README.md: production requires {sorted(missing)}"
    load_settings({"APP_ENV": "prod", **compose_settings(service)})
    text = re.sub(r"^# (?=[A-Z0-9_]+=)", "", (service / ".env.example").read_text(), flags=re.M)
    defaults = {
        name.upper(): field.default
        for name, field in Settings.model_fields.items()
        if field.default not in (None, []) and name.upper() not in EXAMPLES
    }
    shown = {
        name: value
        for name, value in dotenv_values(stream=io.StringIO(text)).items()
        if value and name in defaults
    }
    read = Settings(**{name.lower(): value for name, value in shown.items()})
    for name, value in shown.items():
        found = getattr(read, name.lower())
        found = ROOT / found if isinstance(found, Path) else found
        assert found == defaults[name], f".env.example: {name}={value} is not {defaults[name]}"


def check_commands(app: Any, service: Path) -> None:
    """``flask`` commands named in texts exist."""
    commands = dict(app.cli.commands)
    if "migrate" in app.extensions:
        commands["db"] = importlib.import_module("flask_migrate.cli").db
    for name in texts(service):
        pattern = r"\bflask(?: --app wsgi)? ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?"
        for command, below in re.findall(pattern, (service / name).read_text()):
            found = commands.get(command)
            assert found or command == "run", f"{name} names flask {command}, which does not exist"
            if isinstance(found, click.Group) and below:
                assert below in found.commands, f"{name}: flask {command} has no {below}"


def answer(client: Any, rule: str) -> int:
    """The status of a request that matches a rule; its resource need not exist."""
    method, path = rule.split()
    path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path)
    status: int = client.open(re.sub(r"<[^>]+>", "1", path), method=method).status_code
    return status


class Counts:
    """A pytest plugin that counts outcomes, and collects the passed tests of each file."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.passed: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = "expected to fail" if hasattr(report, "wasxfail") else report.outcome
        if report.when == "call" or outcome != "passed":
            self.outcomes[outcome] += 1
        if report.when == "call" and outcome == "passed":
            file, _, name = report.location
            self.passed[file].add(name.partition("[")[0])


def run_own_tests(combination: Combination, folder: Path) -> int:
    """Run the service's own tests, which must all pass; returns their number."""
    counts = Counts()
    arguments = ["--quiet", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={folder}"]
    # Stricter than the service's own configuration: warnings of libraries are errors, too.
    arguments += ["-W", "error"]
    if "pytest-httpserver" in Path("pyproject.toml").read_text():
        arguments += ["-p", "pytest_httpserver"]  # the matrix runs without plugins otherwise
    # The parent process has imported the plugins already.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = pytest.main(arguments, plugins=[counts])
    assert status == pytest.ExitCode.OK, f"its own tests: {dict(counts.outcomes)}"
    assert set(counts.outcomes) == {"passed"}, f"some tests did not pass: {dict(counts.outcomes)}"
    expected = {name for name in oracle.files(combination) if Path(name).match("test_*.py")}
    assert_same("files with tests", set(counts.passed), expected)
    for file, names in counts.passed.items():
        assert names, f"no test passed in {file}"
    return counts.outcomes["passed"]
