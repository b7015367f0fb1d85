"""DeepFace, loaded once in each process."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, TypeVar

import structlog
from werkzeug.exceptions import ServiceUnavailable

from app.deepface.images import Picture
from app.deepface.schemas import Box, Face, Verification
from app.deepface.weights import ATTRIBUTES, WeightsError, check_weights
from app.errors import Invalid, field_error

T = TypeVar("T")

NO_FACE = "No face was found."

log = structlog.stdlib.get_logger(__name__)


class FaceModels:
    """The models of one application.

    All calls run in one thread, since OpenCV's face detector is not thread-safe. At most
    ``FACES_CONCURRENCY`` requests run or wait, so that images cannot occupy all of the server's
    threads.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.home: Path = config["DEEPFACE_HOME"]
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
        found = self.run(lambda deepface: self.find_attributes(deepface, picture))
        return [
            Face(
                box=box_of(face["region"], picture.scale),
                confidence=float(face["face_confidence"]),
                age=int(face["age"]),
                gender=face["dominant_gender"],
                emotion=face["dominant_emotion"],
            )
            for face in found
        ]

    def find_attributes(self, deepface: Any, picture: Picture) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = deepface.DeepFace.analyze(
                picture.pixels, actions=tuple(map(str.lower, ATTRIBUTES)), silent=True
            )
        except deepface.modules.exceptions.FaceNotDetected:
            raise Invalid([field_error("image", NO_FACE)]) from None
        return found

    def verify(self, first: Picture, second: Picture) -> Verification:
        """Compare the largest faces of two images; raises as ``analyze`` does."""
        found = self.run(lambda deepface: self.compare(deepface, first, second))
        return Verification(
            verified=bool(found["verified"]),
            distance=float(found["distance"]),
            threshold=float(found["threshold"]),
            model=self.recognition,
        )

    def compare(self, deepface: Any, first: Picture, second: Picture) -> dict[str, Any]:
        embeddings = [
            self.embed(deepface, first, "image1"),
            self.embed(deepface, second, "image2"),
        ]
        found: dict[str, Any] = deepface.DeepFace.verify(
            *embeddings, model_name=self.recognition, silent=True
        )
        return found

    def embed(self, deepface: Any, picture: Picture, field: str) -> list[float]:
        """The embedding of the largest face."""
        try:
            faces = deepface.DeepFace.represent(picture.pixels, model_name=self.recognition)
        except deepface.modules.exceptions.FaceNotDetected:
            raise Invalid([field_error(field, NO_FACE)]) from None
        largest = max(faces, key=lambda face: face["facial_area"]["w"])
        embedding: list[float] = largest["embedding"]
        return embedding

    def run(self, call: Callable[[Any], T]) -> T:
        """Run ``call`` with the library in the models' thread, within the limits."""
        if not self.slots.acquire(blocking=False):
            raise ServiceUnavailable("Too many images are being analysed.", retry_after=5)
        future = self.pool.submit(lambda: call(self.load()))
        future.add_done_callback(lambda _: self.slots.release())
        try:
            return future.result(self.timeout)
        except TimeoutError:
            future.cancel()
            raise ServiceUnavailable("The analysis timed out.", retry_after=30) from None

    def warm(self) -> "Future[Any]":
        """Load the models in the background."""
        future = self.pool.submit(self.load)
        future.add_done_callback(log_failure)
        return future

    def check(self) -> None:
        """Raise while the models are not loaded."""
        if self.library is None:
            self.pool.submit(self.load).result()

    def load(self) -> Any:
        """Return the library, with its models in memory."""
        if self.library is None:
            check_weights(self.home, self.recognition)
            library = import_deepface(self.home)
            for name in ATTRIBUTES:
                library.DeepFace.build_model(name, task="facial_attribute")
            library.DeepFace.build_model(self.recognition, task="facial_recognition")
            self.library = library
        return self.library


def import_deepface(home: Path) -> Any:
    """Import the library, which reads its settings from the environment."""
    os.environ["DEEPFACE_HOME"] = str(home)
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"  # needs neither TensorFlow nor PyTorch
    os.environ.setdefault("DEEPFACE_LOG_LEVEL", "40")
    import deepface
    import deepface.DeepFace
    import deepface.modules.exceptions

    return deepface


def box_of(region: Mapping[str, Any], scale: float) -> Box:
    """A face's place in the original image."""
    x, y, width, height = (round(region[name] * scale) for name in ("x", "y", "w", "h"))
    return Box(x=x, y=y, width=width, height=height)


def log_failure(future: "Future[Any]") -> None:
    error = future.exception()
    if isinstance(error, WeightsError):
        log.error("face models cannot be loaded", reason=error.message)
    elif error:
        log.error("face models cannot be loaded", exc_info=error)
