"""DeepFace, loaded once in each process."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, TypeVar

import structlog
from flask import current_app
from werkzeug.exceptions import ServiceUnavailable

from app.deepface.images import Picture
from app.deepface.schemas import Box, Face, Verification
from app.deepface.weights import ATTRIBUTES, check_weights, weight_files
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

        def estimate(library: Any) -> Any:
            actions = tuple(map(str.lower, ATTRIBUTES))
            with face_required(picture):
                return library.analyze(picture.pixels, actions=actions, silent=True)

        return [
            Face(
                box=box_of(face["region"], picture.scale),
                confidence=float(face["face_confidence"]),
                age=int(face["age"]),
                gender=face["dominant_gender"],
                emotion=face["dominant_emotion"],
            )
            for face in self.run(estimate)
        ]

    def verify(self, first: Picture, second: Picture) -> Verification:
        """Compare the largest faces of two images; raises the errors of ``analyze``."""

        def embed(library: Any, picture: Picture) -> Any:
            with face_required(picture):
                faces = library.represent(picture.pixels, self.recognition, max_faces=1)
            return faces[0]["embedding"]

        def compare(library: Any) -> Any:
            embeddings = embed(library, first), embed(library, second)
            return library.verify(*embeddings, model_name=self.recognition, silent=True)

        result = self.run(compare)
        return Verification(
            verified=bool(result["verified"]),
            distance=float(result["distance"]),
            threshold=float(result["threshold"]),
            model=self.recognition,
        )

    def run(self, call: Callable[[Any], T]) -> T:
        """Run ``call`` with the library in the models' thread, within the limits."""
        if not self.slots.acquire(blocking=False):
            raise ServiceUnavailable("Too many images are being analyzed.", retry_after=5)
        future = self.pool.submit(lambda: call(self.load()))
        future.add_done_callback(lambda _: self.slots.release())
        try:
            return future.result(self.timeout)
        except TimeoutError:
            future.cancel()
            raise ServiceUnavailable("The analysis timed out.", retry_after=30) from None

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
            check_weights(self.home, self.recognition)
            library = import_deepface(self.home)
            for name in weight_files(self.home, self.recognition):
                build_model(library, name)
            self.library = library
        return self.library


def import_deepface(home: Path) -> Any:
    """Import the library, which reads its settings from the environment."""
    os.environ["DEEPFACE_HOME"] = str(home)
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"  # needs neither TensorFlow nor PyTorch
    os.environ.setdefault("DEEPFACE_LOG_LEVEL", "40")
    from deepface import DeepFace

    return DeepFace


def build_model(library: Any, name: str) -> None:
    """Have the library load a model. It downloads the weights if they are missing."""
    task = "facial_attribute" if name in ATTRIBUTES else "facial_recognition"
    library.build_model(name, task=task)


@contextmanager
def face_required(picture: Picture) -> Iterator[None]:
    """Raise ``Invalid`` for the picture's field if DeepFace finds no face."""
    from deepface.modules.exceptions import FaceNotDetected

    try:
        yield
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
