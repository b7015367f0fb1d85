"""The matrix: selection of combinations, the fork server, lint and types, and reports."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import (
    ROOT,
    Combination,
    all_combinations,
    components,
    covering,
    default_combination,
    expected_count,
    levels,
    render,
    sample,
)
from tests.engines import tree
from tests.matrix.forks import Forks, Outcome
from tests.matrix.report import page
from tests.matrix.runner import Matrix, Result, Settings
from tests.matrix.static import check_batch

COMMAND = [sys.executable, "-m", "tests.matrix"]


@pytest.mark.parametrize("strength", [2, 3])
def test_covering_array_covers_all_values_of_any_answers(strength: int) -> None:
    rows = [combination.levels for combination in covering(strength)]
    for names in combinations(levels(), strength):
        met = {tuple(row[name] for name in names) for row in rows}
        assert met == set(product(*(levels()[name] for name in names))), names


def test_all_combinations_are_unique_and_parse_back_from_their_names() -> None:
    everything = all_combinations()
    assert len(everything) == expected_count() == len({c.chosen for c in everything})
    assert [Combination.parse(str(combination)) for combination in everything] == everything
    assert all_combinations() == everything


def test_other_answers_are_distributed_independently() -> None:
    rows = [combination.levels for combination in all_combinations()]
    for names in combinations(levels(), 2):
        met = Counter(tuple(row[name] for name in names) for row in rows)
        pairs = list(product(*(levels()[name] for name in names)))
        assert set(met) == set(pairs), names
        assert min(met.values()) > 0.7 * len(rows) / len(pairs), f"{names} are correlated: {met}"
        if {"python_version", "name"} == set(names):
            assert max(met.values()) - min(met.values()) <= 1


def test_default_service_is_included(template: Path, tmp_path: Path) -> None:
    default = default_combination()
    assert default in all_combinations()
    assert default in covering(1)
    ours = render(template, tmp_path / "ours", **default.answers)
    assert tree(ours) == tree(render(template, tmp_path / "defaults"))


def test_sample_is_reproducible() -> None:
    assert sample(5, seed=1) == sample(5, seed=1) != sample(5, seed=2)
    assert len(set(sample(10**6, seed=1))) == expected_count()


def test_toggled_adds_or_removes_one_component() -> None:
    base = Combination.parse(components()[0])
    toggled = [set(combination.components) for combination in base.toggled()]
    assert [len(names ^ set(base.components)) for names in toggled] == [1] * len(components())


@pytest.mark.parametrize("text", ["blockchain", "crud python_version=2.7", "crud speed=11", ""])
def test_parse_error_lists_valid_values(text: str) -> None:
    with pytest.raises(ValueError, match=r"There is no '.*'\. There are: crud, "):
        Combination.parse(text)


def test_parse_ignores_spaces_around_commas() -> None:
    spaced = Combination.parse(" crud ,torch:cuda,  jwt  name=wild ")
    assert spaced == Combination.parse("crud,torch:cuda,jwt name=wild")
    assert str(spaced) == "crud,jwt,torch:cuda name=wild"


@pytest.mark.parametrize("text", ["crud jwt", "crud, jwt probes name=wild", "crud jwt="])
def test_parse_requires_commas_between_components(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write '\w+=?' with a comma before it"):
        Combination.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("all,crud", "Write 'all' alone"),
        ("crud,nothing", "Write 'nothing' alone"),
        ("torch:cuda,torch:cpu", "Choose between 'torch:cuda' and 'torch:cpu': both are torch"),
        ("torch:cuda,torch", "Choose between 'torch:cuda' and 'torch:cpu': both are torch"),
    ],
)
def test_parse_rejects_contradictions(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Combination.parse(text)


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def outcome(tmp_path: Path, work: Callable[[], Any], limit: float = 30) -> Outcome:
    forks = Forks(1, tmp_path)
    forks.start("one task", work, limit)
    return forks.wait()


def leave_a_child() -> None:
    subprocess.Popen(["sleep", "60"])
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize(
    ("work", "failure"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: sys.exit("gone"), "SystemExit: gone"),
        (lambda: os._exit(3), "exited early with status 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL"),
        (leave_a_child, "killed by SIGUSR1"),
        (lambda: object(), "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_failure_describes_how_a_child_ended(
    tmp_path: Path, work: Callable[[], Any], failure: str
) -> None:
    assert outcome(tmp_path, work).failure == failure


def test_hanging_child_is_killed(tmp_path: Path) -> None:
    ended = outcome(tmp_path, lambda: time.sleep(60), limit=0.2)
    assert ended.failure == "timed out after 0 seconds"
    assert ended.seconds < 10


def test_outcome_has_value_and_output(tmp_path: Path) -> None:
    ended = outcome(tmp_path, lambda: [os.write(1, b"text\n"), {"a": 1}])
    assert (ended.failure, ended.value) == ("", [5, {"a": 1}])
    assert ended.log.read_text() == "text\n"


def test_lint_and_type_errors_are_attributed_to_their_service(
    template: Path, tmp_path: Path, mypy_cache: Path
) -> None:
    services = {
        name: render(template, tmp_path / name, components=["probes"])
        for name in ("good", "types", "lint", "format", "unseen")
    }
    additions = {
        "types": 'x: int = "a"\n',
        "lint": "assert undefined\n",
        "format": "x  =  1\n",
    }
    for name, text in additions.items():
        with (services[name] / "app" / "index.py").open("a") as file:
            file.write(f"\n{text}")
    (services["unseen"] / "app" / "index.py").unlink()
    batch = check_batch(services, set(), tmp_path / "work", mypy_cache)
    found = batch["failures"]
    assert found.keys() == {"types", "lint", "format", "unseen"}
    assert "Incompatible types in assignment" in found["types"]
    assert "F821 Undefined name `undefined`" in found["lint"]
    assert "would be reformatted" in found["format"]
    assert 'does not explicitly export attribute "index"' in found["unseen"]


def test_lint_errors_are_reported_again_for_the_same_content(
    template: Path, tmp_path: Path, mypy_cache: Path
) -> None:
    seen: set[str] = set()
    for name in ("first", "second"):
        service = render(template, tmp_path / name, components=[])
        with (service / "app" / "index.py").open("a") as file:
            file.write("\nimport os\n")
        batch = check_batch({name: service}, seen, tmp_path / f"{name} work", mypy_cache)
        assert "F401" in batch["failures"][name]
        seen.update(batch["digests"])


def test_run_writes_reports(tmp_path: Path, mypy_cache: Path) -> None:
    only = ["--only=probes", "--only=nothing python_version=3.12"]
    result = subprocess.run(
        [*COMMAND, *only, f"--report={tmp_path}", f"--cache={mypy_cache}"],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Combinations: 2 expected, 2 run, 2 passed" in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"]
    assert [entry["key"] for entry in report["results"]] == [
        "nothing python_version=3.12",
        "probes",
    ]
    assert all(entry["tests"] >= 30 for entry in report["results"])
    cases = ET.parse(tmp_path / "junit.xml").findall(".//testcase")
    assert len(cases) == 2
    assert not any(len(case) for case in cases)
    html = (tmp_path / "index.html").read_text()
    assert "All passed." in html
    assert "://" not in html
    assert not list((tmp_path / "logs").iterdir())


def test_heat_map_counts_failures_of_each_pair(tmp_path: Path) -> None:
    chosen = [Combination.parse(text) for text in ("crud,jwt", "crud,jwt,probes")]
    matrix = Matrix(chosen, Settings(jobs=1, limit=1, report=tmp_path, cache=tmp_path))
    failures = ["AssertionError: no", ""]
    results = [
        Result(str(combination), combination.levels, failure, 0, 0, 0, "a.log")
        for combination, failure in zip(chosen, failures, strict=True)
    ]
    matrix.results = {result.key: result for result in results}
    html = page(matrix, results, dict.fromkeys(matrix.results, ""))
    assert 'title="crud with jwt: 1 of 2 failed">2</td>' in html
    assert 'title="crud with probes: 1 passed">1</td>' in html


def test_run_can_be_resumed_after_ctrl_c(tmp_path: Path, mypy_cache: Path) -> None:
    chosen = ["nothing", "crud", "jwt", "uploads", "pagination", "probes"]
    arguments = [f"--only={name}" for name in chosen]
    arguments += [f"--report={tmp_path}", f"--cache={mypy_cache}"]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    first = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # Shells make background processes ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(list(tmp_path.glob("logs/*.log"))) < 4:  # some have ended, others are running
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 130, output
    assert "repeat the command with --resume" in output
    passed = len((tmp_path / "results.jsonl").read_text().splitlines()) - 1
    assert 1 <= passed < 6
    second = [*COMMAND, *arguments, "--resume"]
    result = subprocess.run(second, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"6 run, 6 passed ({passed} of them in an earlier run)" in result.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--only=blockchain", "There is no 'blockchain'. There are: crud, "),
        ("--shard=17/16", "'17/16' is not a shard; write 3/16 for the third of 16"),
        ("--shard=²/²", "'²/²' is not a shard; write 3/16 for the third of 16"),
        ("--only=crud jwt", "Write 'jwt' with a comma before it if it is a component"),
        ("--sample=0", "'0' is not a positive whole number"),
        ("--sample=-1", "'-1' is not a positive whole number"),
        ("--strength=0", "'0' is not a positive whole number"),
        ("--strength=-1", "'-1' is not a positive whole number"),
        ("--jobs=two", "'two' is not a positive whole number"),
        ("--limit=0", "'0' is not a positive number of seconds"),
        ("--limit=-5", "'-5' is not a positive number of seconds"),
        ("--limit=nan", "'nan' is not a positive number of seconds"),
        ("--limit=long", "'long' is not a positive number of seconds"),
        ("--report=README.md", "'README.md' is not a writable folder: File exists"),
        ("--cache=README.md/a", "'README.md/a' is not a writable folder: Not a directory"),
    ],
)
def test_invalid_arguments_are_explained(argument: str, message: str) -> None:
    result = subprocess.run([*COMMAND, argument], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr


def test_empty_shard_fails(tmp_path: Path) -> None:
    arguments = ["--only=crud", "--shard=3/4", f"--report={tmp_path}"]
    result = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "Nothing to run: part 3 of 4 is empty. Use fewer parts.\n"
    assert not (tmp_path / "index.html").exists()
