"""Every combination: rendered, compared with the oracle, checked as rendered, and its own tests."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import oracle
from tests.combinations import Combination, all_combinations, render, run

#: Prints what a rendered service is made of, from inside of it.
INSPECT = """
import json
from app import create_app
from app.config import Settings
app = create_app({"APP_ENV": "test"})
routes = [
    f"{method} {rule.rule}"
    for rule in app.url_map.iter_rules()
    for method in rule.methods - {"HEAD", "OPTIONS"}
]
settings = [name.upper() for name in Settings.model_fields]
print(json.dumps({"routes": routes, "settings": settings}))
"""


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all combinations of a worker: most files are the same in many of them."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("combination", list(all_combinations()), ids=str)
def test_combination(
    template: Path, mypy_cache: Path, tmp_path: Path, combination: Combination
) -> None:
    service = render(template, tmp_path / "service", **combination.answers)
    assert_files(service, combination)
    assert_no_residue(service)
    assert_names_agree(service, combination)
    run(service, "-m", "ruff", "check", "--no-cache", ".")
    formatted = run(service, "-m", "ruff", "format", "--no-cache", "--check", ".")
    assert re.search(r"\d+ files already formatted", formatted), "ruff saw no files"
    run(service, "-m", "mypy", f"--cache-dir={mypy_cache}")
    run(service, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def assert_files(service: Path, combination: Combination) -> None:
    paths = list(service.rglob("*"))
    files = {path.relative_to(service).as_posix() for path in paths if path.is_file()}
    assert files == oracle.files(combination)
    assert [path for path in paths if path.is_dir() and not any(path.iterdir())] == []


def assert_no_residue(service: Path) -> None:
    """Nothing of the template language is left, and no text has gaps where it was."""
    for path in filter(Path.is_file, service.rglob("*")):
        text = path.read_text()
        found = re.search(r"\{%|%\}|(?<!\$)\{\{[^{}]*\}\}|\bTODO\b|copier__", text)
        assert found is None, f"{path}: {found}"
        assert "\n\n\n\n" not in text, path
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path


def assert_names_agree(service: Path, combination: Combination) -> None:
    """Routes, settings, requirements and processes are the oracle's, wherever they are named."""
    seen: dict[str, Any] = json.loads(run(service, "-c", INSPECT))
    assert set(seen["routes"]) == oracle.routes(combination)
    assert set(seen["settings"]) == oracle.variables(combination)
    example = (service / ".env.example").read_text()
    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.M)) == oracle.variables(combination)
    processes = re.findall(r"^(\w+):", (service / "Procfile").read_text(), re.M)
    assert set(processes) == oracle.processes(combination)
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[><=;]", requirement)[0] for requirement in project["dependencies"]}
    assert names == oracle.requirements(combination)
