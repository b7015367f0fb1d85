"""The models' weights: their files, their digests, and ``flask fetch-weights``."""

import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

#: DeepFace's name of a model → its file.
ATTRIBUTES = {
    "Age": "age_model_weights.onnx",
    "Gender": "gender_model_weights.onnx",
    "Emotion": "facial_expression_model_weights.onnx",
}
RECOGNITION = {
    "ArcFace": "arcface_weights.onnx",
    "Facenet": "facenet_weights.onnx",
    "Facenet512": "facenet512_weights.onnx",
    "SFace": "face_recognition_sface_2021dec.onnx",
    "VGG-Face": "vgg_face_weights.onnx",
}
FETCH = "flask --app wsgi fetch-weights"


class WeightsError(click.ClickException):
    """Weights are missing or were changed. The message says what to do."""


class Weights:
    """The files of the models in use.

    Attributes:
        files: DeepFace's name of each model → its file, where DeepFace looks for it.
        digests: the file with their SHA-256 digests, in the format of sha256sum.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.home: Path = config["DEEPFACE_HOME"]
        recognition: str = config["FACES_MODEL"]
        names = {**ATTRIBUTES, recognition: RECOGNITION[recognition]}
        folder = self.home / ".deepface" / "weights"
        self.files = {name: folder / file for name, file in names.items()}
        self.digests = self.home / "SHA256SUMS"

    def check(self) -> None:
        """Raise ``WeightsError`` unless all files are there with the digests of their download.

        DeepFace itself would download a missing file in the middle of a request.
        """
        if missing := [file.name for file in self.files.values() if not file.is_file()]:
            raise WeightsError(f"Weights are missing: {', '.join(missing)}. Run: {FETCH}")
        recorded = self.read_digests()
        for file in self.files.values():
            if recorded.get(file.name) != digest(file):
                raise WeightsError(
                    f"{file.name} is not the file that was downloaded. Delete it, then run: {FETCH}"
                )

    def read_digests(self) -> dict[str, str]:
        """Return file → SHA-256 in hexadecimal digits."""
        lines = self.digests.read_text(encoding="utf-8") if self.digests.exists() else ""
        return {name: value for value, name in map(str.split, lines.splitlines())}

    def download(self) -> None:
        """Download missing files, with progress bars, and record the digests of new files."""
        for name, file in self.files.items():
            if not file.is_file():
                click.echo(f"Downloading {file.name}")
                self.load(name)
        self.record_digests()

    def record_digests(self) -> None:
        recorded = self.read_digests()
        new = {file.name: digest(file) for file in self.files.values() if file.name not in recorded}
        if new:
            lines = [f"{value}  {name}\n" for name, value in sorted((recorded | new).items())]
            self.digests.write_text("".join(lines), encoding="utf-8")

    def load(self, name: str) -> None:
        """Have DeepFace load a model. It downloads the weights if they are missing."""
        task = "facial_attribute" if name in ATTRIBUTES else "facial_recognition"
        import_deepface(self.home).build_model(name, task=task)


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def import_deepface(home: Path) -> Any:
    """Import the library, which reads its settings from the environment."""
    os.environ["DEEPFACE_HOME"] = str(home)
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"  # needs neither TensorFlow nor PyTorch
    os.environ.setdefault("DEEPFACE_LOG_LEVEL", "40")
    from deepface import DeepFace

    return DeepFace


@click.command("fetch-weights")
@click.option("--verify", is_flag=True, help="Only check the files that are there.")
@with_appcontext
def fetch_weights(verify: bool) -> None:
    """Download missing weights of the face models, and check all of them.

    Their SHA-256 digests are recorded in DEEPFACE_HOME/SHA256SUMS at the first download. A file
    that differs from its digest is refused from then on.
    """
    weights = Weights(current_app.config)
    if not verify:
        try:
            weights.download()
        except (OSError, ValueError):
            raise click.ClickException(
                "Weights cannot be downloaded. Check the connection and that DEEPFACE_HOME is "
                "writable."
            ) from None
    weights.check()
    for file in weights.files.values():
        click.echo(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
