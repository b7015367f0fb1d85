"""The database: its migrations, and what happens where it does not answer."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from secrets import token_hex
from time import monotonic

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from flask import Flask
from flask.testing import FlaskClient
# {% if "crud" in components or "pagination" in components %}
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
# {% endif %}

from app import database as database_module
from app.config import EMBEDDED_DATABASE, ConfigError, load_settings
# {% if "crud" in components or "pagination" in components %}
from app.database import MAX_ID, IdConverter, UtcDateTime, create_embedded, db, engine_options
# {% else %}
from app.database import UtcDateTime, create_embedded, db, engine_options
# {% endif %}
from app.postgres import SilenceError, give_up


def database_app(url: str, profile: str = "test") -> Flask:
    """An application that is nothing but its database, which takes less time to make."""
    app = Flask("database")
    app.config.update(APP_ENV=profile, DATABASE_URL=url)
    database_module.init_app(app)
    return app


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Flask]:
    """An application whose database has no tables yet."""
    app = database_app(f"sqlite:///{tmp_path / 'app.db'}")
    with app.app_context():
        engine = db.engine
    yield app
    engine.dispose()


def test_migrations_make_what_the_models_say_and_can_be_undone(
    empty: Flask, tmp_path: Path
) -> None:
    runner = empty.test_cli_runner()
    assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
    assert runner.invoke(args=["db", "check"]).exit_code == 0
    assert set(sqlite_tables(tmp_path)) == {"alembic_version", *db.metadata.tables}
    assert runner.invoke(args=["db", "downgrade", "base"]).exit_code == 0
    assert sqlite_tables(tmp_path) == ["alembic_version"]


def test_migrations_can_be_printed(empty: Flask) -> None:
    result = empty.test_cli_runner().invoke(args=["db", "upgrade", "--sql"])
    assert "CREATE TABLE" in result.output


def test_no_id_is_given_twice_over_a_migration(empty: Flask) -> None:
    assert empty.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    with empty.app_context(), db.engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        for table in db.metadata.tables.values():
            if "id" not in table.columns:
                continue
            ids = [add_row(connection, table) for _ in range(3)]
            connection.execute(table.delete().where(table.c.id == ids[-1]))
            for change in ("one", "another"):
                with operations.batch_alter_table(table.name, recreate="always") as batch:
                    batch.add_column(sa.Column(change, sa.Integer()))
            assert add_row(connection, table) == ids[-1] + 1, table.name


def add_row(connection: sa.Connection, table: sa.Table) -> int:
    """The id of a new row, whatever its columns are."""
    others = (column for column in table.columns if column.name != "id")
    row = {
        column.name: token_hex(4) if isinstance(column.type, sa.String) else datetime.now(UTC)
        for column in others
    }
    return int(connection.execute(table.insert().values(row).returning(table.c.id)).scalar_one())


@pytest.mark.integration
def test_migrations_make_what_the_models_say_on_postgresql(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        db.drop_all()
    runner = postgres_app.test_cli_runner()
    try:
        assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
        assert runner.invoke(args=["db", "check"]).exit_code == 0
    finally:
        runner.invoke(args=["db", "downgrade", "base"])


def test_the_embedded_database_is_migrated_once(empty: Flask, tmp_path: Path) -> None:
    create_embedded(empty)
    assert set(sqlite_tables(tmp_path)) == {"alembic_version", *db.metadata.tables}
    with empty.app_context():
        db.drop_all()
    create_embedded(empty)
    assert sqlite_tables(tmp_path) == ["alembic_version"]


def test_a_process_starts_while_another_writes_to_a_new_file(empty: Flask, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with empty.app_context():
            assert db.session.scalar(sa.select(1)) == 1


def test_only_a_developers_default_is_the_embedded_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migrated: list[Flask] = []
    monkeypatch.setattr(database_module, "create_embedded", migrated.append)
    database_app("sqlite://", "dev")
    database_app(EMBEDDED_DATABASE, "prod")
    assert migrated == []
    app = database_app(EMBEDDED_DATABASE, "dev")
    assert migrated == [app]


@pytest.mark.parametrize(
    ("statement", "retry_after"), [("SELECT * FROM secret_table", "30"), ("SELECT broken(", "5")]
)
def test_a_database_that_is_not_ready_is_503(
    app: Flask,
    anonymous: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    retry_after: str,
) -> None:
    def rows() -> str:
        return str(db.session.execute(sa.text(statement)))

    monkeypatch.setitem(app.view_functions, "index.hello", rows)
    response = anonymous.get("/")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == retry_after
    assert "secret" not in response.text


def test_sqlite_enforces_foreign_keys_and_no_reader_waits_for_a_writer(empty: Flask) -> None:
    with empty.app_context():
        assert db.session.scalar(sa.text("PRAGMA foreign_keys")) == 1
        assert db.session.scalar(sa.text("PRAGMA journal_mode")) == "wal"


def test_an_error_does_not_tell_what_was_sent(empty: Flask) -> None:
    with empty.app_context():
        for parameters in ({"a": "hunter2"}, [{"a": "hunter2"}, {"a": "hunter2"}]):
            with pytest.raises(sa.exc.OperationalError) as caught:
                db.session.execute(sa.text("INSERT INTO nowhere VALUES (:a)"), parameters)
            assert "hunter2" not in str(caught.value)
            db.session.rollback()


def test_a_postgresql_that_is_silent_is_given_up() -> None:
    def answer_after(waits: int) -> Generator[int, int, str]:
        for _ in range(waits):
            yield 1
        return "answer"

    heard = give_up(answer_after(3), 0)
    assert [next(heard), heard.send(1), heard.send(1)] == [1, 1, 1]
    with pytest.raises(StopIteration) as end:
        heard.send(1)
    assert end.value.value == "answer"
    silent = give_up(answer_after(3), 0)
    next(silent)
    with pytest.raises(SilenceError):
        silent.send(0)


@pytest.mark.integration
def test_only_a_request_is_cut_off_from_a_postgresql_that_is_silent(postgres_app: Flask) -> None:
    postgres_app.config["DATABASE_TIMEOUT"] = 0.2
    postgres_app.add_url_rule("/silent", "silent", sleep)
    client = postgres_app.test_client()
    for _ in range(3):
        started = monotonic()
        assert client.get("/silent").status_code == 503
        assert monotonic() - started < 0.9
    with postgres_app.app_context():
        assert sleep() == "awake"


def sleep() -> str:
    db.session.execute(sa.text("SELECT pg_sleep(1)"))
    return "awake"


def test_a_mistake_in_a_statement_is_no_outage(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> str:
        raise sa.exc.ProgrammingError("SELECT 1", {}, Exception("a mistake"))

    monkeypatch.setitem(app.view_functions, "index.hello", rows)
    with pytest.raises(sa.exc.ProgrammingError):
        anonymous.get("/")


def test_a_bad_address_is_named(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        load_settings(settings | {"DATABASE_URL": "postgres://user:password@host:port/name"})


@pytest.mark.parametrize("scheme", ["foo", "postgresql+nothing", "mysql+oursql"])
def test_a_database_without_a_driver_is_named(scheme: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as caught:
        database_app(f"{scheme}://user:hunter2@host/name")
    assert "hunter2" not in caught.value.message


def test_migrations_of_a_database_that_is_down_end_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = database_app("postgresql://user:hunter2@127.0.0.1:1/none")
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "The database does not answer" in caplog.text
    assert "hunter2" not in caplog.text + result.output


def test_any_postgresql_address_means_psycopg() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        app = database_app(f"{scheme}://user@127.0.0.1:1/none")
        with app.app_context():
            assert db.engine.driver == "psycopg", scheme
    assert engine_options("postgresql")["pool_pre_ping"]


# {% if "crud" in components or "pagination" in components %}
def test_an_id_is_one_that_a_row_can_have() -> None:
    urls = Map([Rule("/<id:row>")], converters={"id": IdConverter}).bind("localhost")
    assert urls.match(f"/{MAX_ID}")[1] == {"row": MAX_ID}
    for text in ("0", "01", str(MAX_ID + 1), str(10**17)):
        with pytest.raises(NotFound):
            urls.match(f"/{text}")


@pytest.mark.integration
def test_every_id_fits_its_column_on_postgresql(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        for table in db.metadata.tables.values():
            if "id" in table.columns:
                rows = db.session.execute(sa.select(table).where(table.c.id == MAX_ID))
                assert rows.first() is None


# {% endif %}
def test_times_are_aware_and_in_utc(app: Flask) -> None:
    with app.app_context():
        dialect = db.engine.dialect
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    stored = UtcDateTime().process_bind_param(noon, dialect)
    assert stored == datetime(2026, 1, 1, 10, tzinfo=UTC)
    naive = datetime(2026, 1, 1, 10)  # as SQLite gives it back
    assert UtcDateTime().process_result_value(naive, dialect) == stored
    assert UtcDateTime().process_result_value(None, dialect) is None


def sqlite_tables(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "app.db")
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return [name for (name,) in rows if name != "sqlite_sequence"]
