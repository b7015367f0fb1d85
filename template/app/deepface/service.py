"""DeepFace, loaded once in each process."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any, TypeVar

import structlog
from flask import current_app
from werkzeug.exceptions import ServiceUnavailable

from app.deepface.images import Picture
from app.deepface.schemas import Box, Face, Verification
from app.deepface.weights import ATTRIBUTES, Weights, import_deepface
from app.errors import Invalid, field_error

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)


class FaceModels:
    """The models of one application.

    All calls run in one thread, since OpenCV's face detector is not thread-safe. At most
    ``FACES_CONCURRENCY`` requests run or wait, so that images cannot occupy all of the server's
    threads.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.weights = Weights(config)
        self.recognition: str = config["FACES_MODEL"]
        self.timeout: float = config["FACES_TIMEOUT"]
        self.slots = BoundedSemaphore(config["FACES_CONCURRENCY"])
        self.pool = ThreadPoolExecutor(1, "deepface")
        self.library: Any = None

    def analyze(self, picture: Picture) -> list[Face]:
        """Estimate age, gender and emotion of every face.

        Raises:
            app.errors.Invalid: there is no face.
            werkzeug.exceptions.ServiceUnavailable: too many images are waiting, or it took longer
                than ``FACES_TIMEOUT``.
            app.deepface.weights.WeightsError: the models cannot be loaded.
        """
        return self.run(self.estimate, picture)

    def verify(self, first: Picture, second: Picture) -> Verification:
        """Compare the largest faces of two images; raises the errors of ``analyze``."""
        return self.run(self.compare, first, second)

    def run(self, call: Callable[..., T], *pictures: Picture) -> T:
        """Run ``call`` in the models' thread, within the limits."""
        if not self.slots.acquire(blocking=False):
            raise ServiceUnavailable("Too many images are being analyzed.", retry_after=5)
        future = self.pool.submit(call, *pictures)
        future.add_done_callback(lambda _: self.slots.release())
        try:
            return future.result(self.timeout)
        except TimeoutError:
            future.cancel()
            raise ServiceUnavailable("The analysis timed out.", retry_after=30) from None

    def estimate(self, picture: Picture) -> list[Face]:
        actions = [name.lower() for name in ATTRIBUTES]
        return [
            Face(
                box=box_of(face["region"], picture.scale),
                confidence=float(face["face_confidence"]),
                age=int(face["age"]),
                gender=face["dominant_gender"],
                emotion=face["dominant_emotion"],
            )
            for face in find_faces(self.load().analyze, picture, actions=actions, silent=True)
        ]

    def compare(self, *pictures: Picture) -> Verification:
        library, model = self.load(), {"model_name": self.recognition}
        faces = [find_faces(library.represent, each, max_faces=1, **model) for each in pictures]
        embeddings = [found[0]["embedding"] for found in faces]
        result = library.verify(*embeddings, silent=True, **model)
        return Verification(
            verified=bool(result["verified"]),
            distance=float(result["distance"]),
            threshold=float(result["threshold"]),
            model=self.recognition,
        )

    def warm(self) -> None:
        """Load the models in the background."""
        self.pool.submit(self.load).add_done_callback(log_failure)

    def check(self) -> None:
        """Load the models unless they are loaded; raise an error if that fails."""
        if self.library is None:
            self.pool.submit(self.load).result()

    def load(self) -> Any:
        """Return the library, with its models in memory."""
        if self.library is None:
            self.weights.check()
            for name in self.weights.files:
                self.weights.load(name)
            self.library = import_deepface(self.weights.home)
        return self.library


def find_faces(function: Callable[..., Any], picture: Picture, **options: Any) -> Any:
    """Call a function of DeepFace; raises ``Invalid`` for the picture's field without a face."""
    from deepface.modules.exceptions import FaceNotDetected

    try:
        return function(picture.pixels, **options)
    except FaceNotDetected:
        raise Invalid([field_error(picture.field, "No face was found.")]) from None


def box_of(region: Mapping[str, Any], scale: float) -> Box:
    """Return a face's place in the original image."""
    x, y, width, height = (round(region[name] * scale) for name in ("x", "y", "w", "h"))
    return Box(x=x, y=y, width=width, height=height)


def log_failure(future: "Future[Any]") -> None:
    if error := future.exception():
        log.error("face models cannot be loaded", reason=str(error), error=type(error).__name__)


def get_models() -> FaceModels:
    models: FaceModels = current_app.extensions["deepface"]
    return models
