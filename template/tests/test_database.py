"""The database, its migrations, and what happens if it is unavailable."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
# {% if "crud" in components or "pagination" in components %}
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
# {% endif %}

from app import create_app, migrations
from app import database as database_module
from app.config import EMBEDDED_DATABASE, ConfigError, load_settings
# {% if "crud" in components or "pagination" in components %}
from app.database import MAX_ID, IdConverter, UtcDateTime, db
# {% else %}
from app.database import UtcDateTime, db
# {% endif %}


def database_app(url: str, profile: str = "test") -> Flask:
    """An application with a database and nothing else, which is quicker to create."""
    app = Flask("database")
    app.config.update(APP_ENV=profile, DATABASE_URL=url, DATABASE_TIMEOUT=15)
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


def create_database(app: Flask) -> None:
    with app.app_context():
        migrations.create_database(db.engine)


def test_migrations_match_the_models_and_can_be_undone(empty: Flask, tmp_path: Path) -> None:
    runner = empty.test_cli_runner()
    assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
    assert runner.invoke(args=["db", "check"]).exit_code == 0
    assert set(sqlite_tables(tmp_path)) == {"alembic_version", *db.metadata.tables}
    assert runner.invoke(args=["db", "downgrade", "base"]).exit_code == 0
    assert sqlite_tables(tmp_path) == ["alembic_version"]


def test_migrations_can_be_printed(empty: Flask) -> None:
    result = empty.test_cli_runner().invoke(args=["db", "upgrade", "--sql"])
    assert "CREATE TABLE" in result.output


@pytest.mark.integration
def test_migrations_match_the_models_on_postgresql(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        db.drop_all()
    runner = postgres_app.test_cli_runner()
    try:
        assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
        assert runner.invoke(args=["db", "check"]).exit_code == 0
    finally:
        runner.invoke(args=["db", "downgrade", "base"])


def test_a_new_database_is_migrated_once(empty: Flask, tmp_path: Path) -> None:
    create_database(empty)
    assert set(sqlite_tables(tmp_path)) == {"alembic_version", *db.metadata.tables}
    with empty.app_context():
        db.drop_all()
    create_database(empty)
    assert sqlite_tables(tmp_path) == ["alembic_version"]


def test_a_process_starts_while_another_writes_to_a_new_file(empty: Flask, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with empty.app_context():
            assert db.session.scalar(sa.select(1)) == 1


def test_only_the_default_database_of_dev_is_migrated_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migrated: list[sa.URL] = []
    monkeypatch.setattr(migrations, "create_database", lambda engine: migrated.append(engine.url))
    database_app("sqlite://", "dev")
    database_app(EMBEDDED_DATABASE, "prod")
    assert migrated == []
    database_app(EMBEDDED_DATABASE, "dev")
    assert len(migrated) == 1


@pytest.mark.parametrize(
    ("statement", "retry_after"), [("SELECT * FROM secret_table", "30"), ("SELECT broken(", "5")]
)
def test_an_unavailable_database_is_503(
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


def test_sqlite_enforces_foreign_keys_and_uses_wal(empty: Flask) -> None:
    with empty.app_context():
        assert db.session.scalar(sa.text("PRAGMA foreign_keys")) == 1
        assert db.session.scalar(sa.text("PRAGMA journal_mode")) == "wal"


def test_errors_do_not_contain_parameters(empty: Flask) -> None:
    with empty.app_context():
        for parameters in ({"a": "hunter2"}, [{"a": "hunter2"}, {"a": "hunter2"}]):
            with pytest.raises(sa.exc.OperationalError) as caught:
                db.session.execute(sa.text("INSERT INTO nowhere VALUES (:a)"), parameters)
            assert "hunter2" not in str(caught.value)
            db.session.rollback()


@pytest.mark.integration
def test_slow_statements_are_cancelled_except_in_migrations(
    settings: dict[str, object], postgres_url: str
) -> None:
    app = create_app(settings | {"DATABASE_URL": postgres_url, "DATABASE_TIMEOUT": 0.2})
    sleep = sa.text("SELECT pg_sleep(9)")
    app.add_url_rule("/slow", "slow", lambda: str(db.session.execute(sleep)))
    response = app.test_client().get("/slow")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    printed = app.test_cli_runner().invoke(args=["db", "upgrade", "--sql"]).output
    assert printed.index("SET statement_timeout = 0") < printed.index("CREATE TABLE")
    with app.app_context():
        assert db.session.scalar(sa.text("SHOW statement_timeout")) == "200ms"
        engine = db.engine
    engine.dispose()


def test_an_invalid_statement_is_not_reported_as_an_outage(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> str:
        raise sa.exc.ProgrammingError("SELECT 1", {}, Exception("a mistake"))

    monkeypatch.setitem(app.view_functions, "index.hello", rows)
    with pytest.raises(sa.exc.ProgrammingError):
        anonymous.get("/")


def test_an_invalid_database_url_is_reported(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        load_settings(settings | {"DATABASE_URL": "postgres://user:password@host:port/name"})


@pytest.mark.parametrize("scheme", ["foo", "postgresql+nothing", "mysql+oursql"])
def test_a_missing_driver_is_reported(scheme: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as caught:
        database_app(f"{scheme}://user:hunter2@host/name")
    assert "hunter2" not in caught.value.message


def test_migrating_an_unavailable_database_prints_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = database_app("postgresql://user:hunter2@127.0.0.1:1/none")
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "The database is unavailable" in caplog.text
    assert "hunter2" not in caplog.text + result.output


def test_every_postgresql_url_uses_psycopg() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        app = database_app(f"{scheme}://user@127.0.0.1:1/none")
        with app.app_context():
            assert db.engine.driver == "psycopg", scheme


# {% if "crud" in components or "pagination" in components %}
def test_ids_out_of_range_are_404() -> None:
    urls = Map([Rule("/<id:row>")], converters={"id": IdConverter}).bind("localhost")
    assert urls.match(f"/{MAX_ID}")[1] == {"row": MAX_ID}
    for text in ("0", "01", str(MAX_ID + 1), str(10**17)):
        with pytest.raises(NotFound):
            urls.match(f"/{text}")


@pytest.mark.integration
def test_the_largest_id_fits_every_column_on_postgresql(postgres_app: Flask) -> None:
    with postgres_app.app_context():
        for table in db.metadata.tables.values():
            if "id" in table.columns:
                rows = db.session.execute(sa.select(table).where(table.c.id == MAX_ID))
                assert rows.first() is None


# {% endif %}
def test_date_times_are_stored_in_utc(app: Flask) -> None:
    with app.app_context():
        dialect = db.engine.dialect
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    stored = UtcDateTime().process_bind_param(noon, dialect)
    assert stored == datetime(2026, 1, 1, 10, tzinfo=UTC)
    naive = datetime(2026, 1, 1, 10)  # as SQLite returns it
    assert UtcDateTime().process_result_value(naive, dialect) == stored
    assert UtcDateTime().process_result_value(None, dialect) is None
    with pytest.raises(ValueError, match="no time zone"):
        UtcDateTime().process_bind_param(naive, dialect)


def sqlite_tables(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "app.db")
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return [name for (name,) in rows if name != "sqlite_sequence"]
