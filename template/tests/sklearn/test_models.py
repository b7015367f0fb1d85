"""Models as files: written, checked, refused."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from skops.io import dumps

from app.batching import Compute
from app.sklearn import artefact, training
from app.sklearn.artefact import ModelError, ModelMissingError, Reference, read
from app.sklearn.engines import SKOPS_FILE, check_agreement, open_engine
from app.sklearn.service import Models
from app.sklearn.training import Data

CSV = "a,b,c,d,kind\n" + "".join(f"{i % 5},1,2,{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(10))


@pytest.fixture
def trained(app: Flask, tmp_path: Path) -> Path:
    """A copy of the folder of models that the application serves from."""
    app.extensions["sklearn"].get()
    return shutil.copytree(app.config["SKLEARN_MODEL_DIR"], tmp_path / "models")


def models(app: Flask, root: Path, **settings: object) -> Models:
    return Models(app.config | {"SKLEARN_MODEL_DIR": root, "APP_ENV": "prod", **settings})


def few() -> Data:
    """Some of the iris data: less to compute."""
    data = training.iris()
    return Data(data.rows[::10], data.classes[::10], data.features, data.labels)


def answering(proba: list[list[float]]) -> Compute:
    """A model that answers anything with this."""
    return lambda rows: np.array(proba)


class Stranger:
    """A type that a model of scikit-learn does not hold."""


def test_a_version_says_what_it_is_made_of(trained: Path) -> None:
    found = read(trained)
    manifest = found.manifest
    assert manifest.labels == ["setosa", "versicolor", "virginica"]
    assert len(manifest.features) == 4
    assert manifest.libraries["scikit-learn"] == version("scikit-learn")
    assert set(manifest.files) == {"model.onnx", "model.skops"}
    for name, digest in manifest.files.items():
        assert sha256((found.folder / name).read_bytes()).hexdigest() == digest, name


def test_a_model_is_loaded_once(app: Flask) -> None:
    served: Models = app.extensions["sklearn"]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: served.get(), range(8)))) == 1


def test_what_was_changed_is_refused(trained: Path, app: Flask) -> None:
    folder = read(trained).folder
    for path, sentence in (
        (folder / "model.onnx", "model.onnx was changed"),
        (folder / "manifest.json", "manifest.json was changed"),
        (trained / "current.json", "format"),
    ):
        content = path.read_bytes()
        path.write_bytes(content + b" x")
        with pytest.raises(ModelError, match=sentence) as caught:
            models(app, trained).get()
        assert str(trained) not in caught.value.message
        path.write_bytes(content)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read"):
        models(app, trained).get()


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "current.json").mkdir()
    with pytest.raises(ModelError, match="permissions"):
        read(tmp_path)


@pytest.mark.parametrize("library", ["onnxruntime", "scikit-learn"])
def test_another_version_of_a_library_is_refused(
    app: Flask, trained: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    def installed(name: str) -> str:
        return "0.1" if name == library else version(name)

    monkeypatch.setattr(artefact, "installed_version", installed)
    with pytest.raises(ModelError, match=rf"made with {library} .*, and 0\.1 is installed: train"):
        models(app, trained).get()


def test_an_engine_that_disagrees_is_refused() -> None:
    reference = Reference(rows=[[0, 0, 0, 0]], proba=[[0.5, 0.5]])
    check_agreement(answering([[0.5 + 9e-7, 0.5 - 9e-7]]), reference)
    for found in ([[0.5 + 2e-6, 0.5 - 2e-6]], [[np.nan, 0.5]], [[0.5, 0.5, 0.0]], [[1.0]]):
        with pytest.raises(ModelError, match="disagree"):
            check_agreement(answering(found), reference)


def test_training_keeps_no_model_that_disagrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "onnx_engine", lambda content, threads: np.zeros_like)
    with pytest.raises(ModelError, match="disagree"):
        training.train(tmp_path, few())
    assert list(tmp_path.iterdir()) == []


def test_a_model_for_scikit_learn_alone_has_no_other(app: Flask, tmp_path: Path) -> None:
    training.train(tmp_path, few(), "sklearn")
    with pytest.raises(ModelError, match=r"trained without model\.onnx"):
        models(app, tmp_path).get()
    models(app, tmp_path, SKLEARN_ENGINE="sklearn").start()


def test_no_type_of_a_stranger_is_loaded(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"labels": [], "features": ["a"] * 4, "accuracy": None}
    for content in (dumps(Stranger()), pickle.dumps({}), b""):
        artefact.write(
            tmp_path, {SKOPS_FILE: content}, **nothing, reference=Reference(rows=[], proba=[])
        )
        with pytest.raises(ModelError, match=r"model\.skops cannot be loaded"):
            open_engine("sklearn", read(tmp_path), 1)


def test_a_process_starts_without_a_model_and_takes_it_when_it_is_there(
    app: Flask, trained: Path, tmp_path: Path
) -> None:
    served = models(app, tmp_path / "later")
    served.start()
    with pytest.raises(ModelMissingError):
        served.get()
    trained.rename(tmp_path / "later")
    assert served.get().labels == ["setosa", "versicolor", "virginica"]


def test_only_the_command_starts_with_a_model_that_cannot_serve(
    app: Flask, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trained / "current.json").write_text("{}")
    monkeypatch.delenv("FLASK_RUN_FROM_CLI", raising=False)
    with pytest.raises(ModelError, match="train-sklearn"):
        models(app, trained).start()
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    models(app, trained).start()


def test_one_of_several_processes_trains(
    app: Flask, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def train(root: Path, data: object, engine: str) -> None:
        calls.append(root)
        version = read(trained).folder
        shutil.copytree(version, root / version.name)
        (trained / "current.json").rename(root / "current.json")

    monkeypatch.setattr(training, "train", train)
    started = [models(app, tmp_path / "new", APP_ENV="dev") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Models.start, started))
    assert calls == [tmp_path / "new"]


def test_a_folder_that_cannot_be_written_is_named(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "locked" / "lock").mkdir(parents=True)
    for name in ("file", "locked"):
        with pytest.raises(ModelError, match="SKLEARN_MODEL_DIR cannot be written"):
            models(app, tmp_path / name, APP_ENV="dev").get()


def test_the_command_trains_on_a_file(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    app.config["SKLEARN_MODEL_DIR"] = tmp_path / "models"
    command = ["train-sklearn", "--data", str(tmp_path / "data.csv")]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert "accuracy, cross-validated: 1.000" in result.output
    manifest = read(tmp_path / "models").manifest
    assert (manifest.features, manifest.labels) == (["a", "b", "c", "d"], ["x", "y"])
    assert manifest.accuracy == 1
    served = models(app, tmp_path / "models").get()
    assert served.predict(np.array([[1.0, 1, 2, 10]])).argmax() == 1


def test_bad_data_ends_in_one_line(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    app.config["SKLEARN_MODEL_DIR"] = path
    cases = [
        (b"\xff", "not a CSV file"),
        (b"", "header"),
        (b"a,b,kind\n1,2,x\n", "header"),
        (CSV.replace("4,1,2", "4,1").encode(), "line 6"),
        (CSV.replace("0,1,2", "zero,1,2", 1).encode(), "line 2"),
        (CSV.replace("1,1,2", "nan,1,2", 1).encode(), "line 3"),
        (CSV.replace("1,1,2", "1e39,1,2", 1).encode(), "line 3"),
        (CSV.replace(",x", ",y").encode(), "two labels"),
        (CSV.rpartition("4,1")[0].encode(), "each on 5 lines"),
        (CSV.encode(), "cannot be written"),
    ]
    for content, sentence in cases:
        path.write_bytes(content)
        result = app.test_cli_runner().invoke(args=["train-sklearn", "--data", str(path)])
        assert result.exit_code == 1, content
        lines = result.stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("Error: "), lines
        assert sentence in lines[0], lines


def test_the_command_helps(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["train-sklearn", "--help"])
    assert result.exit_code == 0
    assert "--data" in result.output
