"""Predictions over a connection: ``predict`` names a model, and is answered with ``prediction``.

A component adds its model with ``@predictor``, in a module that its ``__init__`` imports:

    @predictor("flowers")
    def predict(body: Flowers) -> list[dict[str, Any]]: ...
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from flask_socketio import emit
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from werkzeug.exceptions import ServiceUnavailable

from app.api import Schema, field_errors
from app.errors import Invalid, field_error
from app.serving.artefact import ModelError
from app.socketio.events import event

P = TypeVar("P", bound=Callable[..., list[dict[str, Any]]])

log = structlog.stdlib.get_logger(__name__)

#: Model → what takes it, and what computes it.
PREDICTORS: dict[str, tuple[type[BaseModel], Callable[..., list[dict[str, Any]]]]] = {}


class Predict(Schema):
    """A model and what it takes. ``id`` comes back, for streams of many."""

    model_config = ConfigDict(extra="allow")

    model: str
    id: str | int | None = None


class Predicted(Schema):
    """What the model answered, in the order of what it was given."""

    model: str
    id: str | int | None
    predictions: list[dict[str, JsonValue]]


def predictor(model: str) -> Callable[[P], P]:
    """Have ``predict`` call the function for ``model``."""

    def decorate(compute: P) -> P:
        given = inspect.signature(compute, eval_str=True).parameters["body"].annotation
        PREDICTORS[model] = given, compute
        return compute

    return decorate


@event
def predict(body: Predict) -> Predicted:
    """Ask a model. The answer comes as ``prediction`` and as the acknowledgement."""
    if body.model not in PREDICTORS:
        raise Invalid([field_error("model", f"There are: {', '.join(sorted(PREDICTORS))}.")])
    given, compute = PREDICTORS[body.model]
    try:
        asked = given.model_validate(body.model_extra)
    except ValidationError as error:
        raise Invalid(field_errors(error, "body")) from None
    try:
        predictions = compute(asked)
    except ModelError as error:
        log.error("the model cannot serve", reason=error.message)
        raise ServiceUnavailable("The model is not ready. Try again soon.") from None
    answer = Predicted(model=body.model, id=body.id, predictions=predictions)
    emit("prediction", answer.model_dump(mode="json"))
    return answer
