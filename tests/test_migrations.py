"""A service's database over the years: migrations of its owner's, components that come and go."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.combinations import render, run

#: A table of the owner's, in a component that the template knows.
OWN_MODEL = '''

class Note(Base):
    """What somebody remembers of a user."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
'''


@pytest.fixture
def service(template: Path, tmp_path: Path) -> Path:
    return render(template, tmp_path / "service", components=["crud", "jwt"])


def flask(service: Path, *arguments: str) -> None:
    run(service, "-m", "flask", "--app", "wsgi", *arguments)


def tables(service: Path) -> set[str]:
    connection = sqlite3.connect(service / "instance" / "app.db")
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return {name for (name,) in rows} - {"alembic_version", "sqlite_sequence"}


def migrate(service: Path, message: str) -> Path:
    """A migration of the owner's, which passes the service's own checks as it is written."""
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
    """Give the service other components, and keep what its owner added."""
    fresh = render(template, service.parent / "-".join(components), components=components)
    for name in ("app", "tests", "migrations/versions"):
        for path in (service / name).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
    shutil.copytree(fresh, service, dirs_exist_ok=True)


def test_own_migrations_and_components_that_come_and_go(service: Path, template: Path) -> None:
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
    without = re.sub(r'"jwt_0001",? ?', "", own.read_text()).replace(", )", ",)")
    own.write_text(without)
    flask(service, "db", "stamp", "--purge", "heads")
    migrate(service, "drop what the components left")
    assert tables(service) == {"notes", "users"}
