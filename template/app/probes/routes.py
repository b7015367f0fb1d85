"""``/health`` and ``/ready``, as Kubernetes asks for them."""

from flask import Blueprint, Response, current_app

from app.api import Schema, endpoint
from app.errors import problem
from app.probes.readiness import get_readiness

blueprint = Blueprint("probes", __name__)


class Health(Schema):
    """The process answers."""

    status: str


class Ready(Schema):
    """Whether traffic is welcome, and what each check found."""

    ready: bool
    checks: dict[str, bool]


@blueprint.get("/health")
@endpoint(returns=Health)
def health() -> Health:
    """Liveness: touches nothing, so that a failing dependency restarts no healthy process."""
    return Health(status="alive")


@blueprint.get("/ready")
@endpoint(returns=Ready, errors=(503,))
def ready() -> Ready | Response:
    """Readiness: every configured dependency answers in time."""
    checks = get_readiness(current_app).run(current_app.config["PROBE_TIMEOUT"])
    if all(checks.values()):
        return Ready(ready=True, checks=checks)
    failed = ", ".join(name for name, passed in checks.items() if not passed)
    return problem(503, f"Not ready: {failed}.", {"Retry-After": "5"}, ready=False, checks=checks)
