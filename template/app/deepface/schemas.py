"""Responses of ``/api/v1/faces``."""

from app.api import Schema


class Box(Schema):
    """A rectangle in pixels of the upright image, from its top left corner."""

    x: int
    y: int
    width: int
    height: int


class Face(Schema):
    """A face with the estimates of the models. ``confidence`` is that of the detection."""

    box: Box
    confidence: float
    age: int
    gender: str
    emotion: str


class Analysis(Schema):
    """All faces of an image."""

    faces: list[Face]


class Verification(Schema):
    """Whether two images show the same person: ``distance`` is at most ``threshold``."""

    verified: bool
    distance: float
    threshold: float
    model: str
