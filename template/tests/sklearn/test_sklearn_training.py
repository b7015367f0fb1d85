"""Training, and the two engines."""

import pickle
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from skops.io import dumps

from app.serving.artefact import ModelError, Reference
from app.serving.data import Data
from app.sklearn import training
from app.sklearn.engines import SKOPS_FILE, open_engine
from app.sklearn.service import SklearnModels, get_store

CSV = "a,b,c,d,kind\n" + "".join(f"{i % 5},1,2,{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(10))


def models(app: Flask, root: Path, **settings: object) -> SklearnModels:
    config = app.config | {"SKLEARN_MODEL_DIR": root, "APP_ENV": "prod"}
    return SklearnModels(config | settings)


def few() -> Data:
    """Some of the iris data: less to compute."""
    data = training.iris()
    return Data(data.rows[::10], data.classes[::10], data.features, data.labels)


class Stranger:
    """A type that a model of scikit-learn does not hold."""


def test_a_fresh_checkout_has_a_model_of_iris(app: Flask) -> None:
    served: SklearnModels = app.extensions["sklearn"]
    assert served.get().labels == ["setosa", "versicolor", "virginica"]
    manifest = served.store.read().manifest
    assert set(manifest.files) == {"model.onnx", "model.skops"}
    for library in ("scikit-learn", "onnxruntime"):
        assert manifest.libraries[library] == version(library)


def test_the_engines_agree(app: Flask) -> None:
    served: SklearnModels = app.extensions["sklearn"]
    other = models(app, served.store.root, SKLEARN_ENGINE="sklearn")
    assert (served.batch_rows, other.batch_rows) == (1, 64)
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]])
    assert np.abs(other.get().predict(rows) - served.get().predict(rows)).max() < 1e-6


def test_calls_are_shared_as_configured(app: Flask) -> None:
    app.extensions["sklearn"].get()
    root = app.config["SKLEARN_MODEL_DIR"]
    batcher: Any = models(app, root, SKLEARN_BATCH_ROWS=8, SKLEARN_QUEUE_ROWS=9).get().compute
    assert (batcher.batch_rows, batcher.queue_rows) == (8, 9)


def test_a_model_of_another_library_is_refused(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.extensions["sklearn"].get()
    monkeypatch.setattr("app.serving.artefact.installed_version", lambda library: "0.0")
    with pytest.raises(ModelError, match=r"made with onnxruntime .* and 0\.0 is installed"):
        models(app, app.config["SKLEARN_MODEL_DIR"]).get()


def test_training_keeps_no_model_that_disagrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "onnx_engine", lambda content, threads: np.zeros_like)
    with pytest.raises(ModelError, match="does not agree"):
        training.train(get_store(tmp_path), few())
    assert list(tmp_path.iterdir()) == []


def test_a_model_for_scikit_learn_alone_has_no_other(app: Flask, tmp_path: Path) -> None:
    training.train(get_store(tmp_path), few(), "sklearn")
    with pytest.raises(ModelError, match=r"trained without model\.onnx"):
        models(app, tmp_path).get()
    models(app, tmp_path, SKLEARN_ENGINE="sklearn").start()


def test_no_type_of_a_stranger_is_loaded(tmp_path: Path) -> None:
    store = get_store(tmp_path)
    nothing: dict[str, Any] = {"labels": ["x"], "features": ["a"] * 4, "accuracy": None}
    for content in (dumps(Stranger()), pickle.dumps({}), b""):
        reference = Reference(rows=[[0] * 4], proba=[[1]])
        store.write({SKOPS_FILE: content}, **nothing, reference=reference, libraries=())
        with pytest.raises(ModelError, match=r"model\.skops cannot be loaded"):
            open_engine("sklearn", store.read(), 1)


def test_the_command_trains_on_a_file(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    app.config["SKLEARN_MODEL_DIR"] = tmp_path / "models"
    command = ["train-sklearn", "--data", str(tmp_path / "data.csv")]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert "accuracy, cross-validated: 1.000" in result.output
    served = models(app, tmp_path / "models")
    manifest = served.store.read().manifest
    assert (manifest.features, manifest.labels) == (["a", "b", "c", "d"], ["x", "y"])
    assert served.get().predict(np.array([[1.0, 1, 2, 10]])).argmax() == 1


def test_bad_data_ends_in_one_line(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    app.config["SKLEARN_MODEL_DIR"] = path
    for content, sentence in ((CSV.replace("4,1,2", "4,1"), "line 6"), (CSV, "cannot be written")):
        path.write_text(content)
        result = app.test_cli_runner().invoke(args=["train-sklearn", "--data", str(path)])
        assert result.exit_code == 1, content
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert sentence in line


def test_the_command_helps(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["train-sklearn", "--help"])
    assert result.exit_code == 0
    assert "--data" in result.output
