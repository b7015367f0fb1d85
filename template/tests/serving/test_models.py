"""Models as files, and what loads them; with a model that only doubles its numbers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pytest

from app.errors import Invalid
from app.serving import artefact
from app.serving.arrays import FloatArray
from app.serving.artefact import Artefact, ModelError, ModelMissingError, Reference, Store
from app.serving.models import Classifier, Models, check_agreement

FILE = "model.bin"
CONTENT = b"doubles"


class Doubling(Models):
    """Its file holds nothing but ``CONTENT``."""

    def __init__(self, root: Path, trains: bool = False) -> None:
        super().__init__(Store(root, "doubling", features=2), trains)
        self.trained = 0

    def open(self, artefact: Artefact) -> Classifier:
        artefact.check_libraries(("flask",))
        assert artefact.read(FILE) == CONTENT
        return Classifier(lambda rows: rows * 2, artefact.manifest.labels)

    def train(self) -> None:
        self.trained += 1
        write(self.store)


def write(store: Store, features: tuple[str, ...] = ("a", "b")) -> None:
    store.write(
        {FILE: CONTENT},
        labels=["x", "y"],
        features=list(features),
        accuracy=None,
        reference=Reference(rows=[[0.0] * len(features)], proba=[[0.5, 0.5]]),
        libraries=("flask",),
    )


@pytest.fixture
def models(tmp_path: Path) -> Doubling:
    """With a version that serves."""
    models = Doubling(tmp_path / "models")
    write(models.store)
    return models


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of the ``flask`` command."""
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    with click.Context(click.Command("flask")):
        yield


def test_a_version_says_what_it_is_made_of(models: Doubling) -> None:
    manifest = models.store.read().manifest
    assert (manifest.labels, manifest.features) == (["x", "y"], ["a", "b"])
    assert manifest.libraries == {"flask": version("flask")}
    assert manifest.files == {FILE: sha256(CONTENT).hexdigest()}


def test_the_last_version_serves(models: Doubling) -> None:
    first = models.store.read().folder
    write(models.store)
    assert models.store.read().folder != first
    assert first.is_dir()


def test_a_model_is_loaded_once(models: Doubling) -> None:
    with ThreadPoolExecutor(4) as pool:
        (served,) = set(pool.map(lambda _: models.get(), range(8)))
    assert served.predict(np.ones((1, 2))).tolist() == [[2, 2]]


def test_what_was_changed_is_refused(models: Doubling) -> None:
    folder, root = models.store.read().folder, models.store.root
    for path, sentence in (
        (folder / FILE, f"{FILE} was changed"),
        (folder / "manifest.json", "manifest.json was changed"),
        (root / "current.json", "format"),
    ):
        content = path.read_bytes()
        path.write_bytes(content + b" x")
        with pytest.raises(ModelError, match=rf"{sentence}.*train-doubling") as caught:
            models.get()
        assert str(root) not in caught.value.message
        path.write_bytes(content)
    (folder / FILE).unlink()
    with pytest.raises(ModelError, match=rf"{FILE} cannot be read"):
        models.get()


@pytest.mark.parametrize(
    "change",
    [
        {"labels": []},
        {"labels": ["x", "y", "z"]},
        {"labels": ["x", "x"]},
        {"reference": {"rows": [], "proba": []}},
        {"reference": {"rows": [[0, 0], [0, 0]], "proba": [[0.5, 0.5]]}},
        {"reference": {"rows": [[0]], "proba": [[0.5, 0.5]]}},
        {"reference": {"rows": [[0, 0], [0, 0]], "proba": [[0.5, 0.5], [1]]}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    models: Doubling, change: dict[str, object]
) -> None:
    folder = models.store.read().folder
    document = json.loads((folder / "manifest.json").read_bytes()) | change
    content = json.dumps(document).encode()
    (folder / "manifest.json").write_bytes(content)
    current = {"version": folder.name, "sha256": sha256(content).hexdigest()}
    (models.store.root / "current.json").write_text(json.dumps(current))
    with pytest.raises(ModelError, match=r"format: train"):
        models.get()


def test_what_cannot_be_read_is_refused(tmp_path: Path, models: Doubling) -> None:
    with pytest.raises(ModelError, match="trained without other"):
        models.store.read().read("other")
    write(models.store, features=("a",))
    with pytest.raises(ModelError, match="does not take 2 numbers"):
        models.get()
    (tmp_path / "current.json").mkdir()
    with pytest.raises(ModelError, match="permissions"):
        Doubling(tmp_path).get()


def test_another_version_of_a_library_is_refused(
    models: Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact, "installed_version", lambda name: f"{version(name)}+other")
    Doubling(models.store.root).get()  # the same, built for another device
    monkeypatch.setattr(artefact, "installed_version", lambda name: "0.1")
    with pytest.raises(ModelError, match=r"made with flask .*, and 0\.1 is installed: train"):
        models.get()


def test_an_engine_that_disagrees_is_refused() -> None:
    reference = Reference(rows=[[0, 0]], proba=[[0.5, 0.5]])

    def answering(proba: list[list[float]]) -> None:
        check_agreement(lambda rows: np.array(proba), reference, 1e-6, "Train again.")

    answering([[0.5 + 9e-7, 0.5 - 9e-7]])
    for found in ([[0.5 + 2e-6, 0.5 - 2e-6]], [[np.nan, 0.5]], [[0.5, 0.5, 0.0]], [[1.0]]):
        with pytest.raises(ModelError, match=r"does not agree .* Train again\."):
            answering(found)


def test_a_row_without_an_answer_is_the_fault_of_its_request() -> None:
    def compute(rows: FloatArray) -> FloatArray:
        return np.where(rows > 1, np.nan, rows)

    assert Classifier(compute, []).predict(np.ones((1, 2))).tolist() == [[1, 1]]
    with pytest.raises(Invalid):
        Classifier(compute, []).predict(np.full((1, 2), 2.0))


def test_a_process_starts_without_a_model_and_takes_it_when_it_is_there(
    models: Doubling, tmp_path: Path
) -> None:
    later = Doubling(tmp_path / "later")
    later.start()
    with pytest.raises(ModelMissingError):
        later.get()
    models.store.root.rename(tmp_path / "later")
    assert later.get().labels == ["x", "y"]


def test_a_process_does_not_start_with_a_model_that_cannot_serve(models: Doubling) -> None:
    (models.store.root / "current.json").write_text("{}")
    with pytest.raises(ModelError, match="train-doubling"):
        models.start()


@pytest.mark.usefixtures("command")
def test_a_command_starts_whatever_there_is(models: Doubling, tmp_path: Path) -> None:
    (models.store.root / "current.json").write_text("{}")
    models.start()
    empty = Doubling(tmp_path / "empty", trains=True)
    empty.start()
    assert empty.trained == 0
    with click.Context(click.Command("run"), info_name="run"):
        empty.start()
    assert empty.trained == 1


def test_one_of_several_processes_trains(tmp_path: Path) -> None:
    started = [Doubling(tmp_path / "new", trains=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Models.start, started))
    assert sum(models.trained for models in started) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "locked" / "lock").mkdir(parents=True)
    for name in ("file", "locked"):
        with pytest.raises(ModelError, match="DOUBLING_MODEL_DIR cannot be written"):
            Doubling(tmp_path / name, trains=True).get()
