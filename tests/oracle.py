"""What each combination must contain, stated independently of the template.

If they disagree, one of them has a bug. Only what cannot be derived is listed: which component a
path belongs to, the routes, and which of them require no token. Whether files agree with each other
(versions, variables, commands, ports) is checked in ``tests.matrix.consistency``.
"""

from functools import cache
from pathlib import Path, PurePosixPath

from tests.combinations import ROOT, Combination, components

TEMPLATE = ROOT / "template"

#: Folders below ``app/`` and ``tests/`` that several components share.
SHARED = {
    "llm": {"bedrock", "openai"},
    "serving": {"sklearn", "torch"},
    "users": {"crud", "jwt"},
}
#: Components with tables.
WITH_TABLES = {
    component
    for folder in (TEMPLATE / "migrations" / "versions").iterdir()
    for component in SHARED.get(folder.name, {folder.name})
}
#: Components that use Redis.
WITH_REDIS = {"celery", "jwt", "socketio"}

#: Path → components, one of which must be chosen in addition to the one whose folder it is in.
NEEDS: dict[str, set[str]] = {
    "app/commands.py": {"crud", "jwt"},
    "app/database.py": WITH_TABLES,
    "app/deepface/jobs.py": {"celery"},
    "app/llm/jobs.py": {"celery"},
    "app/llm/live.py": {"socketio"},
    "app/migrations.py": WITH_TABLES,
    "app/serving/jobs.py": {"celery"},
    "app/sklearn/jobs.py": {"celery"},
    "app/socketio/accounts.py": {"jwt"},
    "app/socketio/jobs.py": {"celery"},
    "app/socketio/page/account.js": {"jwt"},
    "app/storage.py": {"s3", "uploads"},
    "app/torch/jobs.py": {"celery"},
    "deploy/k8s/base/release.yaml": WITH_TABLES,
    "deploy/k8s/options/keda": {"celery"},
    "deploy/k8s/overlays/dev/postgres.yaml": WITH_TABLES,
    "deploy/k8s/overlays/dev/redis.yaml": WITH_REDIS,
    "docs/database.md": WITH_TABLES,
    "make_celery.py": {"celery"},
    "migrations": WITH_TABLES,
    "migrations/versions/pagination/0002_owners.py": {"jwt"},
    "tests/sklearn/test_sklearn_jobs.py": {"celery"},
    "tests/socketio/test_accounts.py": {"jwt"},
    "tests/socketio/test_live_jobs.py": {"celery"},
    "tests/test_database.py": WITH_TABLES,
    "tests/test_storage.py": {"s3", "uploads"},
    "tests/torch/test_torch_jobs.py": {"celery"},
}
#: Path → components with which it is not rendered.
REPLACED_BY: dict[str, set[str]] = {
    "app/serving/fast_path.py": {"jwt"},
    "tests/serving/test_fast_path.py": {"jwt"},
    "app/socketio/page/guest.js": {"jwt"},
    "deploy/k8s/components/uploads": {"s3"},
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
        "DELETE /api/v1/posts/<id:post_id>",
        "GET /api/v1/posts",
        "GET /api/v1/posts/<id:post_id>",
        "POST /api/v1/posts",
    },
    "probes": {"GET /health", "GET /ready"},
    "bedrock": {"POST /api/v1/bedrock/chat"},
    "openai": {"POST /api/v1/openai/chat", "POST /api/v1/openai/extract"},
    "s3": {
        "DELETE /api/v1/files/<path:key>",
        "GET /api/v1/files/<path:key>",
        "GET /api/v1/files/<path:key>/url",
        "GET /signed/<token>",
        "POST /api/v1/files",
        "POST /api/v1/files/presigned",
        "POST /signed/<token>",
    },
    "deepface": {"POST /api/v1/faces/analyze", "POST /api/v1/faces/verify"},
}
#: Routes under /api/v1 that require no access token with ``jwt``.
OPEN_ROUTES = {
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/register",
}

#: The command of each process type.
COMMANDS = {
    "web": "python serve.py",
    "websocket": "gunicorn --config app/socketio/gunicorn.py wsgi:app",
    "worker": "env REMAP_SIGTERM=SIGQUIT celery --quiet --app make_celery worker"
    " --without-gossip --without-mingle",
    "beat": "celery --quiet --app make_celery beat",
    "release": "flask --app wsgi db upgrade",
}

#: Names of the image and the package, for each key of ``tests.combinations.NAMES``.
SLUGS = {"tame": "my-service", "wild": "zo-s-best-7"}


def accelerator(combination: Combination) -> str:
    """``cpu`` or ``cuda``; empty without ``torch``."""
    chosen: str = combination.answers.get("accelerator", "")
    return chosen


def has_tables(combination: Combination) -> bool:
    return bool(WITH_TABLES & set(combination.components))


def uses_redis(combination: Combination) -> bool:
    return bool(WITH_REDIS & set(combination.components))


def packages(combination: Combination) -> set[str]:
    """The packages in ``app/``: the components and their shared packages."""
    chosen = set(combination.components)
    return chosen | {name for name, users in SHARED.items() if users & chosen}


def files(combination: Combination) -> set[str]:
    """The paths of all files, relative to the service."""
    return {path for path in template_files() if belongs(path, combination)}


@cache
def template_files() -> list[str]:
    paths = (path for path in TEMPLATE.rglob("*") if path.is_file())
    return [
        path.relative_to(TEMPLATE).as_posix()
        for path in paths
        if not {"__pycache__", ".DS_Store"} & set(path.parts) and not is_ignored(path)
    ]


def is_ignored(path: Path) -> bool:
    """Whether a tool created it when the template itself was run as a service."""
    return any(part.endswith("_cache") or part == "instance" for part in path.parts)


def belongs(path: str, combination: Combination) -> bool:
    """Whether a combination contains a file."""
    chosen = set(combination.components)
    names = {*PurePosixPath(path).parts[:-1]}
    if path.startswith("docs/"):
        names.add(PurePosixPath(path).stem)
    if not names & {*components(), *SHARED} <= packages(combination):
        return False
    if path.startswith({"github": ".gitlab-ci", "gitlab": ".github/"}[combination.ci]):
        return False
    if path.startswith("deploy/k8s/components/torch/") and accelerator(combination) != "cuda":
        return False
    places = {path, *map(str, PurePosixPath(path).parents)}
    return all(NEEDS[place] & chosen for place in places & set(NEEDS)) and not any(
        REPLACED_BY[place] & chosen for place in places & set(REPLACED_BY)
    )


def routes(combination: Combination) -> set[str]:
    """All routes as ``METHOD rule``, except HEAD and OPTIONS."""
    return ROUTES.union(*(COMPONENT_ROUTES.get(name, set()) for name in combination.components))


def guarded(combination: Combination) -> set[str]:
    """The routes that respond with 401 if there is no token."""
    api = {route for route in routes(combination) if " /api/v1/" in route}
    return api - OPEN_ROUTES if "jwt" in combination.components else set()


def processes(combination: Combination) -> set[str]:
    """The process types of the Procfile."""
    chosen = set(combination.components)
    found = {"web"}
    found |= {"release"} if has_tables(combination) else set()
    found |= {"beat", "worker"} if "celery" in chosen else set()
    return found | ({"websocket"} if "socketio" in chosen else set())


def servers(combination: Combination) -> set[str]:
    """The servers that compose starts in addition to the service."""
    found = {"postgres"} if has_tables(combination) else set()
    found |= {"s3"} if "s3" in combination.components else set()
    return found | ({"redis"} if uses_redis(combination) else set())


def slug(combination: Combination) -> str:
    """The name of the image and of the package."""
    return SLUGS[combination.name]


def health(combination: Combination) -> str:
    """The path of the container's health check."""
    return "/health" if "probes" in combination.components else "/"
