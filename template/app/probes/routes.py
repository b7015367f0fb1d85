"""``/health`` and ``/ready``, for the liveness and readiness probes of Kubernetes."""

from flask import Blueprint, Response, current_app

from app.api import Schema, endpoint
from app.errors import problem
from app.probes.readiness import get_readiness

blueprint = Blueprint("probes", __name__)


class Health(Schema):
    """The process is alive."""

    status: str


class Ready(Schema):
    """Whether the service can handle requests, and the result of each check."""

    ready: bool
    checks: dict[str, bool]


@blueprint.get("/health")
@endpoint(returns=Health)
def health() -> Health:
    """Liveness. It checks no dependency, because a restart would not repair one."""
    return Health(status="alive")


@blueprint.get("/ready")
@endpoint(returns=Ready, errors=(503,))
def ready() -> Ready | Response:
    """Readiness: every configured dependency responds in time."""
    checks = get_readiness(current_app).run(current_app.config["PROBE_TIMEOUT"])
    if all(checks.values()):
        return Ready(ready=True, checks=checks)
    failed = ", ".join(name for name, passed in checks.items() if not passed)
    return problem(503, f"Not ready: {failed}.", {"Retry-After": "5"}, ready=False, checks=checks)
