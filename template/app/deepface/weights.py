"""The models' weights: their files and digests."""

from hashlib import file_digest
from pathlib import Path

from click import ClickException

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
#: Beside the weights, in the format of sha256sum.
DIGESTS = "SHA256SUMS"


class WeightsError(ClickException):
    """Weights are missing or were changed. The message says what to do."""


def weight_files(home: Path, recognition: str) -> dict[str, Path]:
    """Return DeepFace's name of each model in use → its file, where DeepFace looks for it."""
    models = {**ATTRIBUTES, recognition: RECOGNITION[recognition]}
    return {name: home / ".deepface" / "weights" / file for name, file in models.items()}


def check_weights(home: Path, recognition: str) -> None:
    """Raise ``WeightsError`` unless all files are there with the digests of their download.

    DeepFace itself would download a missing file in the middle of a request.
    """
    files, digests = weight_files(home, recognition).values(), read_digests(home)
    if missing := [file.name for file in files if not file.is_file()]:
        raise WeightsError(
            f"Weights are missing: {', '.join(missing)}. Run: flask --app wsgi fetch-weights"
        )
    for file in files:
        if digests.get(file.name) != digest(file):
            raise WeightsError(
                f"{file.name} is not the file that was downloaded. Delete it, then run: "
                "flask --app wsgi fetch-weights"
            )


def read_digests(home: Path) -> dict[str, str]:
    """Return file → SHA-256 in hexadecimal digits, as recorded when it was downloaded."""
    file = home / DIGESTS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {name: value for value, name in map(str.split, lines)}


def write_digests(home: Path, recognition: str) -> None:
    """Record the digests of files that have none yet."""
    digests = read_digests(home)
    for file in weight_files(home, recognition).values():
        digests.setdefault(file.name, digest(file))
    lines = [f"{value}  {name}\n" for name, value in sorted(digests.items())]
    (home / DIGESTS).write_text("".join(lines), encoding="utf-8")


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
