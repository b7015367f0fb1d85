"""Stored models and their loading, with a model that doubles its numbers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pytest
from flask import Flask

# {% if "probes" in components %}
from app import probes
# {% endif %}
from app.errors import Invalid
from app.serving.arrays import FloatArray
from app.serving.batching import Compute
from app.serving.data import Dataset
from app.serving.models import (
    Classifier,
    ModelLoader,
    Progress,
    check_reference,
    init_model,
    # {% if "celery" in components %}
    load_models,
    # {% endif %}
    make_reference,
    show_nothing,
)
from app.serving.store import Manifest, ModelError, ModelMissingError, Reference, Store

FILE = "model.bin"
CONTENT = b"doubles"
DATA = Dataset(np.zeros((1, 2)), np.zeros(1, np.intp), ["a", "b"], ["x", "y"])
REFERENCE = Reference(rows=[[0.0, 0.0]], proba=[[0.5, 0.5]])


def double(rows: FloatArray) -> FloatArray:
    return rows * 2


class Doubling(ModelLoader):
    def __init__(self, root: Path, env: str = "prod") -> None:
        super().__init__(Store(root, "doubling"), {"APP_ENV": env})
        self.trained = 0

    def open(self, manifest: Manifest) -> Classifier:
        return Classifier(self.store.load(manifest, FILE, self.read), manifest.labels)

    def read(self, content: bytes) -> Compute:
        if content != CONTENT:
            raise ValueError("not this model")
        return double

    def train(self, data: Path | None = None, done: Progress = show_nothing) -> Manifest:
        self.trained += 1
        return write(self.store)


def write(store: Store, content: bytes = CONTENT) -> Manifest:
    return store.write({FILE: content}, DATA, 1.0, REFERENCE, ("flask",))


@pytest.fixture
def loader(tmp_path: Path) -> Doubling:
    """With a trained model."""
    loader = Doubling(tmp_path / "models")
    write(loader.store)
    return loader


@pytest.fixture
def command() -> Iterator[None]:
    """As in a process of the ``flask`` command."""
    with click.Context(click.Command("train"), info_name="train"):
        yield


def make_app(**config: object) -> Flask:
    app = Flask("models")
    app.config.update({"APP_ENV": "prod", "MODELS_AT_START": True, "PROBE_TIMEOUT": 60} | config)
    # {% if "probes" in components %}
    probes.init_app(app)
    # {% endif %}
    return app


def test_manifest_describes_the_version(loader: Doubling) -> None:
    manifest = loader.store.read()
    assert (manifest.labels, manifest.features) == (["x", "y"], ["a", "b"])
    assert manifest.libraries == {"flask": version("flask")}
    assert manifest.files == {FILE: sha256(CONTENT).hexdigest()}


def test_newest_version_serves(loader: Doubling) -> None:
    first = loader.store.read()
    second = write(loader.store)
    assert loader.store.read() == second != first
    assert (loader.store.root / first.version).is_dir()


def test_model_is_loaded_once(loader: Doubling) -> None:
    with ThreadPoolExecutor(4) as pool:
        (served,) = set(pool.map(lambda _: loader.get(), range(8)))
    assert served.predict(np.ones((1, 2))).tolist() == [[2, 2]]


def test_changed_file_is_refused(loader: Doubling) -> None:
    folder = loader.store.root / loader.store.read().version
    (folder / FILE).write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"checksum: train it with .* train-doubling") as caught:
        loader.get()
    assert str(folder) not in caught.value.message
    (folder / FILE).unlink()
    with pytest.raises(ModelError, match=f"{FILE} can't be loaded"):
        loader.get()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="manifest can't be read"):
        loader.get()


def test_file_of_another_format_is_refused(loader: Doubling) -> None:
    write(loader.store, b"another")
    with pytest.raises(ModelError, match=f"{FILE} can't be loaded"):
        loader.get()
    with pytest.raises(ModelError, match="trained without other"):
        loader.store.load(loader.store.read(), "other", loader.read)


@pytest.mark.parametrize(
    "proba", [[[0.5 + 2e-6, 0.5 - 2e-6]], [[np.nan, 0.5]], [[0.5, 0.5, 0.0]], [[1.0]]]
)
def test_engine_with_other_answers_is_refused(proba: list[list[float]]) -> None:
    check_reference(lambda rows: np.array([[0.5 + 9e-7, 0.5 - 9e-7]]), REFERENCE, 1e-6)
    with pytest.raises(ModelError, match="differ"):
        check_reference(lambda rows: np.array(proba), REFERENCE, 1e-6)


def test_reference_holds_a_sample_and_extremes() -> None:
    rows = np.arange(2000.0).reshape(1000, 2)
    reference = make_reference(double, rows)
    assert 4 < len(reference.rows) <= 34
    assert reference.proba == [[2 * a, 2 * b] for a, b in reference.rows]
    assert [0.0, 0.0] in reference.rows


def test_row_without_an_answer_is_422() -> None:
    def compute(rows: FloatArray) -> FloatArray:
        return np.where(rows > 1, np.nan, rows)

    assert Classifier(compute, []).predict(np.ones((1, 2))).tolist() == [[1, 1]]
    with pytest.raises(Invalid):
        Classifier(compute, []).predict(np.full((1, 2), 2.0))


def test_process_starts_without_a_model_and_loads_it_later(
    loader: Doubling, tmp_path: Path
) -> None:
    later = Doubling(tmp_path / "later")
    later.load()
    with pytest.raises(ModelMissingError):
        later.get()
    loader.store.root.rename(tmp_path / "later")
    assert later.get().labels == ["x", "y"]


def test_fresh_checkout_trains_in_development(tmp_path: Path) -> None:
    loader = Doubling(tmp_path / "models", env="dev")
    assert loader.get().labels == ["x", "y"]
    assert loader.trained == 1


# {% if "celery" in components %}
def test_worker_process_loads_its_models(loader: Doubling) -> None:
    app = make_app(MODELS_AT_START=False)
    init_model(app, loader)
    load_models(app)
    assert loader.classifier is not None


# {% endif %}
def test_invalid_model_stops_the_start(loader: Doubling) -> None:
    write(loader.store, b"another")
    with pytest.raises(ModelError, match="train-doubling"):
        init_model(make_app(), loader)


@pytest.mark.usefixtures("command")
def test_command_starts_with_an_invalid_model(loader: Doubling) -> None:
    write(loader.store, b"another")
    init_model(make_app(), loader)
    with click.Context(click.Command("run"), info_name="run"), pytest.raises(ModelError):
        init_model(make_app(), loader)


def test_model_can_be_loaded_on_first_use(loader: Doubling) -> None:
    init_model(make_app(MODELS_AT_START=False), loader)
    assert loader.classifier is None
