"""Face analysis and verification, through DeepFace's real loading and detection.

Tiny random models take the place of the real weights.
"""

import errno
import tempfile
# {% if "celery" in components %}
from base64 import b64encode
from collections.abc import Callable
# {% endif %}
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import onnx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage import data

from app.deepface.service import FaceModels
from app.deepface.weights import Weights, WeightsError, fetch_weights

ANALYZE, VERIFY = "/api/v1/faces/analyze", "/api/v1/faces/verify"
#: DeepFace's name of a model → its input (height, width, channels) and the length of its output.
SHAPES = {
    "Age": ((224, 224, 3), 101),
    "Gender": ((224, 224, 3), 2),
    "Emotion": ((48, 48, 1), 7),
    "Facenet512": ((160, 160, 3), 512),
}


def write_model(path: Path, shape: tuple[int, ...], outputs: int) -> None:
    """An ONNX graph with random weights: (n, height, width, channels) → (n, outputs)."""
    weights = np.random.default_rng(0).normal(size=(shape[-1], outputs)).astype(np.float32)
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["output"]),
        ],
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", outputs])],
        [axes, numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``DEEPFACE_HOME`` with a model for each name."""
    home = tmp_path_factory.mktemp("deepface")
    weights = weights_in(home)
    for name, path in weights.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_model(path, *SHAPES[name])
    weights.record_digests()
    return home


@pytest.fixture(scope="session")
def models(weights: Path) -> FaceModels:
    """The models, loaded once for all tests."""
    models = FaceModels(
        {
            "DEEPFACE_HOME": weights,
            "FACES_MODEL": "Facenet512",
            "FACES_TIMEOUT": 60,
            "FACES_CONCURRENCY": 2,
        }
    )
    models.check()
    return models


@pytest.fixture
def faces(app: Flask, models: FaceModels, monkeypatch: pytest.MonkeyPatch) -> FaceModels:
    """The application's models."""
    monkeypatch.setitem(app.extensions, "deepface", models)
    return models


@pytest.fixture(scope="session")
def face() -> Image.Image:
    """A photograph, 512 by 512, with one face at about (176, 66), 97 pixels wide."""
    return Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def jpeg(face: Image.Image) -> bytes:
    return encode(face, "JPEG")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def analyze(client: FlaskClient, content: bytes) -> Any:
    body = b"--b\r\nContent-Disposition: form-data; name=image; filename=a.jpg\r\n\r\n"
    body += content + b"\r\n--b--\r\n"
    return client.post(ANALYZE, data=body, content_type="multipart/form-data; boundary=b")


def weights_in(home: Path) -> Weights:
    return Weights({"DEEPFACE_HOME": home, "FACES_MODEL": "Facenet512"})


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_face_is_analyzed(client: FlaskClient, faces: FaceModels, jpeg: bytes) -> None:
    response = analyze(client, jpeg)
    assert response.status_code == 200
    (face,) = response.get_json()["faces"]
    assert set(face) == {"box", "confidence", "age", "gender", "emotion"}
    assert 140 < face["box"]["x"] < 210
    assert 40 < face["box"]["y"] < 100
    assert 60 < face["box"]["width"] < 140
    assert isinstance(face["age"], int)
    assert face["gender"] in {"Man", "Woman"}


def test_boxes_refer_to_the_original_size(
    client: FlaskClient, faces: FaceModels, face: Image.Image
) -> None:
    content = encode(face.resize((2048, 2048)), "JPEG")
    box = analyze(client, content).get_json()["faces"][0]["box"]
    assert 4 * 140 < box["x"] < 4 * 210
    assert 4 * 60 < box["width"] < 4 * 140


def test_exif_orientation_is_heeded(
    client: FlaskClient, faces: FaceModels, face: Image.Image
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90° clockwise
    content = encode(face.rotate(90, expand=True), "JPEG", exif=exif)
    box = analyze(client, content).get_json()["faces"][0]["box"]
    assert 140 < box["x"] < 210


def test_two_images_are_compared(client: FlaskClient, faces: FaceModels, jpeg: bytes) -> None:
    files = {"image1": (BytesIO(jpeg), "a.jpg"), "image2": (BytesIO(jpeg), "b.jpg")}
    response = client.post(VERIFY, data=files)
    assert response.status_code == 200
    found = response.get_json()
    assert found["verified"] is True
    assert found["distance"] == pytest.approx(0, abs=1e-6)
    assert found["distance"] <= found["threshold"]


def test_an_image_without_a_face_is_422(
    client: FlaskClient, faces: FaceModels, jpeg: bytes
) -> None:
    blank = encode(Image.new("RGB", (200, 200)), "PNG")
    response = analyze(client, blank)
    assert response.status_code == 422
    assert response.get_json()["errors"] == [{"field": "image", "detail": "No face was found."}]
    files = {"image1": (BytesIO(jpeg), "a.jpg"), "image2": (BytesIO(blank), "b.png")}
    response = client.post(VERIFY, data=files)
    assert response.status_code == 422
    assert response.get_json()["errors"] == [{"field": "image2", "detail": "No face was found."}]


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + bytes(50), b"%PDF-1.7\n"])
def test_what_is_not_an_image_is_415(
    client: FlaskClient, faces: FaceModels, content: bytes
) -> None:
    assert analyze(client, content).status_code == 415


def test_a_broken_image_is_422(client: FlaskClient, faces: FaceModels, jpeg: bytes) -> None:
    assert analyze(client, jpeg[: len(jpeg) // 2]).status_code == 422


def test_a_decompression_bomb_is_413(client: FlaskClient, faces: FaceModels) -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    assert analyze(client, bomb).status_code == 413


def test_one_image_too_many_is_503(
    app: Flask, client: FlaskClient, faces: FaceModels, jpeg: bytes
) -> None:
    running, done = Event(), Event()

    def wait() -> None:
        running.set()
        done.wait(60)

    def occupy() -> None:
        faces.run(wait)

    threads = [Thread(target=occupy) for _ in range(2)]
    threads[0].start()
    running.wait(60)
    threads[1].start()
    while faces.slots.acquire(blocking=False):  # until the second has its place
        faces.slots.release()
    response = analyze(client, jpeg)
    done.set()
    for thread in threads:
        thread.join()
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert analyze(client, jpeg).status_code == 200


def test_a_time_out_is_503(
    client: FlaskClient, faces: FaceModels, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "timeout", 0.001)
    assert analyze(client, jpeg).status_code == 503


def test_missing_weights_are_503(
    client: FlaskClient, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["deepface"], "weights", weights_in(tmp_path))
    response = analyze(client, encode(Image.new("RGB", (20, 20)), "PNG"))
    assert response.status_code == 503
    with pytest.raises(WeightsError):
        app.extensions["deepface"].check()
    assert "weights" not in response.get_data(as_text=True)


def test_changed_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    for file in files_below(weights):
        copy = tmp_path / file.relative_to(weights)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    copied = weights_in(tmp_path)
    copied.check()
    file = copied.files["Age"]
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(WeightsError, match=r"age_model_weights\.onnx is not the file"):
        copied.check()
    file.unlink()
    with pytest.raises(WeightsError, match=r"Weights are missing: age_model_weights\.onnx"):
        copied.check()


def test_fetch_weights_checks_what_is_there(app: Flask, weights: Path, tmp_path: Path) -> None:
    app.config["DEEPFACE_HOME"] = weights
    recorded = (weights / "SHA256SUMS").stat().st_mtime_ns
    result = app.test_cli_runner().invoke(fetch_weights)
    assert result.exit_code == 0, result.output
    assert "age_model_weights.onnx: " in result.output
    assert (weights / "SHA256SUMS").stat().st_mtime_ns == recorded  # the volume may be read-only
    app.config["DEEPFACE_HOME"] = tmp_path
    result = app.test_cli_runner().invoke(fetch_weights, ["--verify"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: Weights are missing")
    assert not (tmp_path / "SHA256SUMS").exists()


def test_nothing_is_left_on_disk(
    client: FlaskClient,
    faces: FaceModels,
    jpeg: bytes,
    face: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither after an answer, nor an exception in the middle, nor on a full disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    large = encode(face.resize((1024, 1024)), "PNG")  # is spooled to a file
    assert analyze(client, large).status_code == 200

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(faces.library, "analyze", fail)
    assert analyze(client, large).status_code == 500

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", full)
    response = analyze(client, large)
    assert response.status_code == 503
    assert files_below(tmp_path) == []
# {% if "celery" in components %}


def test_faces_are_analyzed_as_a_job(
    client: FlaskClient, faces: FaceModels, jpeg: bytes, work: Callable[[], None]
) -> None:
    def submit(image: str) -> Any:
        body = {"kind": "faces.analyze", "input": {"image": image}}
        return client.post("/api/v1/jobs", json=body)

    accepted = [submit(b64encode(content).decode()) for content in (jpeg, b"no image")]
    work()
    found, refused = [client.get(job.headers["Location"]).get_json() for job in accepted]
    assert (found["state"], len(found["result"])) == ("SUCCESS", 1)
    assert refused["state"] == "FAILURE"
    assert refused["error"]["detail"] == "Send a JPEG, PNG or WebP image."
    for image in ("", "not Base64", b64encode(bytes(5 * 1024 * 1024 + 1)).decode()):
        assert submit(image).status_code == 422
# {% endif %}
