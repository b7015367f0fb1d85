"""Training, the two engines, and the device."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flask import Flask
from safetensors.torch import load, save

from app.serving.artefact import ModelError
from app.serving.data import BadData, Data
from app.torch import engines, training
from app.torch.engines import WEIGHTS_FILE, build_model, choose_device, keeps_answers, open_torch
from app.torch.service import TorchModels, get_store

HEADER = ",".join("abcdefghij") + ",kind\n"
CSV = HEADER + "".join(f"{i % 5}{',1' * 8},{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(40))


def models(app: Flask, root: Path, **settings: object) -> TorchModels:
    config = app.config | {"TORCH_MODEL_DIR": root, "APP_ENV": "prod", "TORCH_ENGINE": "torch"}
    return TorchModels(config | settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one for PyTorch alone."""
    root = tmp_path_factory.mktemp("models")
    training.train(get_store(root), training.made_up(200), "torch", epochs=3)
    return root


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment that only serves with the other engine."""
    monkeypatch.delitem(sys.modules, "app.torch.training", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def test_the_engines_agree(app: Flask) -> None:
    served: TorchModels = app.extensions["torch"]
    other = "onnx" if served.engine == "torch" else "torch"
    root = served.store.root
    if other == "onnx":
        root = root / "both"
        training.train(get_store(root), training.made_up(200), "onnx", epochs=3)
    rows = np.vstack([training.made_up(50).rows, np.full((1, 10), 3e38)])
    found = [models(app, root, TORCH_ENGINE=name).get() for name in ("onnx", "torch")]
    assert [classifier.device for classifier in found] == ["cpu", choose_device("auto")]
    assert np.abs(found[0].predict(rows) - found[1].predict(rows)).max() < 1e-4


def test_batching_is_on_where_a_call_costs_much(app: Flask, trained: Path) -> None:
    served = models(app, trained, TORCH_DEVICE="cpu").get()
    assert getattr(served.compute, "batch_rows", None) == 64
    settings = {"TORCH_DEVICE": "cpu", "TORCH_BATCH_ROWS": 8, "TORCH_QUEUE_ROWS": 9}
    batcher: Any = models(app, trained, **settings).get().compute
    assert (batcher.batch_rows, batcher.queue_rows) == (8, 9)


def test_a_model_of_another_library_is_refused(
    app: Flask, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.serving.artefact.installed_version", lambda library: "0.0")
    with pytest.raises(ModelError, match=r"made with .* and 0\.0 is installed"):
        models(app, trained, TORCH_DEVICE="cpu").get()


def test_training_is_the_same_every_time(tmp_path: Path) -> None:
    data, state = training.made_up(100), torch.get_rng_state()
    digests = [training.train(get_store(tmp_path), data, "torch", epochs=1).files for _ in range(2)]
    assert digests[0] == digests[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_data_that_is_far_off_is_refused(tmp_path: Path) -> None:
    data = training.made_up(100)
    far = Data(data.rows * 1e38, data.classes, data.features, data.labels)
    with pytest.raises(BadData, match="diverges"):
        training.train(get_store(tmp_path), far, "torch", epochs=1)


def test_no_weight_is_left_as_it_was_made_up(app: Flask, trained: Path) -> None:
    artefact = get_store(trained).read()
    weights = load(artefact.read(WEIGHTS_FILE))
    model = build_model(weights, 3)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name.removeprefix("classifier.")])
    weights.pop("layers.0.bias")
    store = get_store(trained / "other")
    manifest = artefact.manifest
    for content in (save(weights), b"", b"\x80\x04N."):
        store.write(
            {WEIGHTS_FILE: content},
            labels=manifest.labels,
            features=manifest.features,
            accuracy=None,
            reference=manifest.reference,
            libraries=("torch",),
        )
        with pytest.raises(ModelError, match=r"model\.safetensors cannot be loaded"):
            models(app, store.root).get()


def test_what_is_no_graph_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = get_store(trained).read()
    with pytest.raises(ModelError, match=r"trained without model\.onnx"):
        engines.open_onnx(artefact, 1)
    monkeypatch.setattr(engines, "ONNX_FILE", WEIGHTS_FILE)
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be loaded"):
        engines.open_onnx(artefact, 1)


def test_mixed_precision_serves_only_where_answers_stay_the_same(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact, rows = get_store(trained).read(), training.made_up(50).rows
    model = build_model(load(artefact.read(WEIGHTS_FILE)), 3)
    single = engines.torch_engine(model, "cpu")(rows)
    mixed = engines.settle_precision(model, artefact, "cpu", mixed=True)(rows)
    assert 0 < np.abs(mixed - single).max() < 0.05
    monkeypatch.setattr(engines, "MIXED_TOLERANCE", 0)
    settled = engines.settle_precision(model, artefact, "cpu", mixed=True)(rows)
    assert np.array_equal(settled, single)
    reference = np.array(artefact.manifest.reference.proba)
    assert not keeps_answers(lambda rows: reference[:, ::-1], artefact)


def test_the_device_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == choose_device("auto") == "cpu"
    with pytest.raises(ModelError, match="TORCH_DEVICE is cuda"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    assert choose_device("auto") == choose_device("cuda") == "cuda"


@pytest.mark.usefixtures("no_packages")
def test_what_is_not_installed_is_named(app: Flask, trained: Path, tmp_path: Path) -> None:
    artefact = get_store(trained).read()
    for call in (
        lambda: open_torch(artefact, 1, "cpu", "single"),
        lambda: choose_device("auto"),
        models(app, tmp_path).train,
    ):
        with pytest.raises(ModelError, match=r"pip install '\.\[train\]'"):
            call()


def test_the_command_trains_on_a_file(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    app.config.update(TORCH_MODEL_DIR=tmp_path / "models", TORCH_ENGINE="torch")
    command = ["train-torch", "--epochs", "10", "--data", str(tmp_path / "data.csv")]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert "accuracy: 1.000" in result.output
    served = models(app, tmp_path / "models")
    assert served.store.read().manifest.labels == ["x", "y"]
    assert served.get().predict(np.array([[1.0] * 9 + [10]])).argmax() == 1


def test_bad_input_of_the_command_ends_in_one_line(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    app.config.update(TORCH_MODEL_DIR=path, TORCH_ENGINE="torch")
    for content, sentence in ((CSV.replace(",x", ",y"), "two labels"), (CSV, "cannot be written")):
        path.write_text(content)
        result = app.test_cli_runner().invoke(args=["train-torch", "--data", str(path)])
        assert result.exit_code == 1, content
        assert sentence in result.stderr.splitlines()[-1]
    result = app.test_cli_runner().invoke(args=["train-torch", "--epochs", "0"])
    assert result.exit_code == 2


def test_the_command_helps(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["train-torch", "--help"])
    assert result.exit_code == 0
    assert "--epochs" in result.output
