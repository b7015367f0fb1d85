"""Training, and the two engines."""

import pickle
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from skops.io import dumps

from app.serving.batching import Batcher
from app.serving.data import Dataset
from app.serving.store import ModelError, Reference, Store
from app.sklearn import training
from app.sklearn.service import SKOPS_FILE, SklearnLoader

CSV = "a,b,c,d,kind\n" + "".join(f"{i % 5},1,2,{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(10))


def make_loader(app: Flask, root: Path, **settings: object) -> SklearnLoader:
    config = app.config | {"SKLEARN_MODEL_DIR": root, "APP_ENV": "prod"}
    return SklearnLoader(config | settings)


def small_sample() -> Dataset:
    data = training.load_sample()
    return Dataset(data.rows[::10], data.classes[::10], data.features, data.labels)


class Foreign:
    """A type that scikit-learn's models don't contain."""


def test_fresh_checkout_serves_iris(app: Flask) -> None:
    loader: SklearnLoader = app.extensions["sklearn"]
    assert loader.get().labels == ["setosa", "versicolor", "virginica"]
    manifest = loader.store.read()
    assert set(manifest.files) == {"model.onnx", "model.skops"}
    for library in ("scikit-learn", "onnxruntime"):
        assert manifest.libraries[library] == version(library)


def test_engines_agree(app: Flask) -> None:
    served: SklearnLoader = app.extensions["sklearn"]
    other = make_loader(app, served.store.root, SKLEARN_ENGINE="sklearn")
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]])
    assert np.abs(other.get().predict(rows) - served.get().predict(rows)).max() < 1e-6


def test_batch_size_follows_engine_and_setting(app: Flask) -> None:
    served: SklearnLoader = app.extensions["sklearn"]
    for settings, expected in (
        ({}, 1),
        ({"SKLEARN_ENGINE": "sklearn"}, 64),
        ({"SKLEARN_BATCH_ROWS": 8}, 8),
    ):
        served.get()
        batcher = make_loader(app, served.store.root, **settings).get().compute
        assert isinstance(batcher, Batcher)
        assert batcher.batch_rows == expected


def test_onnx_model_with_other_answers_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "load_onnx", lambda content: np.zeros_like)
    with pytest.raises(ModelError, match="differ"):
        training.train(Store(tmp_path, "sklearn"), small_sample())
    assert list(tmp_path.iterdir()) == []


def test_training_for_scikit_learn_exports_no_onnx(app: Flask, tmp_path: Path) -> None:
    training.train(Store(tmp_path, "sklearn"), small_sample(), "sklearn")
    with pytest.raises(ModelError, match=r"trained without model\.onnx"):
        make_loader(app, tmp_path).get()
    make_loader(app, tmp_path, SKLEARN_ENGINE="sklearn").get()


@pytest.mark.parametrize("content", [dumps(Foreign()), pickle.dumps({}), b""])
def test_untrusted_file_is_not_loaded(app: Flask, tmp_path: Path, content: bytes) -> None:
    loader = make_loader(app, tmp_path, SKLEARN_ENGINE="sklearn")
    reference = Reference(rows=[[0] * 4], proba=[[1]])
    loader.store.write({SKOPS_FILE: content}, small_sample(), 1.0, reference, ())
    with pytest.raises(ModelError, match=r"model\.skops can't be loaded"):
        loader.get()


def test_command_trains_on_a_file(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    loader = make_loader(app, tmp_path / "models")
    monkeypatch.setitem(app.extensions, "sklearn", loader)
    command = ["train-sklearn", "--data", str(tmp_path / "data.csv")]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert "accuracy: 1.000" in result.output
    manifest = loader.store.read()
    assert (manifest.features, manifest.labels) == (["a", "b", "c", "d"], ["x", "y"])
    assert loader.get().predict(np.array([[1.0, 1, 2, 10]])).argmax() == 1


@pytest.mark.parametrize(
    ("content", "message"), [(CSV.replace("4,1,2", "4,1"), "line 6"), (CSV, "can't be written")]
)
def test_command_fails_with_one_line(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)
    monkeypatch.setitem(app.extensions, "sklearn", make_loader(app, path))
    result = app.test_cli_runner().invoke(args=["train-sklearn", "--data", str(path)])
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    assert message in line
