"""Training, the two engines, and the device."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from flask import Flask
from safetensors.torch import load, save

from app.serving.batching import Batcher
from app.serving.data import DataError, Dataset
from app.serving.store import ModelError, Store
from app.torch import training
from app.torch.service import WEIGHTS_FILE, TorchLoader, choose_device, load_torch

HEADER = ",".join("abcdefghij") + ",kind\n"
CSV = HEADER + "".join(f"{i % 5}{',1' * 8},{10 * (i % 2)},{'xy'[i % 2]}\n" for i in range(40))


def make_loader(app: Flask, root: Path, **settings: object) -> TorchLoader:
    """With PyTorch as the engine."""
    config = app.config | {"TORCH_MODEL_DIR": root, "APP_ENV": "prod", "TORCH_ENGINE": "torch"}
    return TorchLoader(config | settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model for PyTorch alone."""
    root = tmp_path_factory.mktemp("models")
    training.train(Store(root, "torch"), training.make_sample(200), "torch", epochs=3)
    return root


def read_weights(root: Path) -> bytes:
    return (root / Store(root, "torch").read().version / WEIGHTS_FILE).read_bytes()


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if neither PyTorch nor ONNX Runtime were installed."""
    monkeypatch.delitem(sys.modules, "app.torch.training", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


# {% if accelerator == "cpu" %}
def test_engines_agree(app: Flask) -> None:
    app.extensions["torch"].get()  # trains for both engines
    root = app.config["TORCH_MODEL_DIR"]
# {% else %}
def test_engines_agree(app: Flask, tmp_path: Path) -> None:
    root = tmp_path
    training.train(Store(root, "torch"), training.make_sample(200), "onnx", epochs=3)
# {% endif %}
    rows = np.vstack([training.make_sample(50).rows, np.full((1, 10), 3e38)])
    found = [make_loader(app, root, TORCH_ENGINE=name).get() for name in ("onnx", "torch")]
    assert [classifier.device for classifier in found] == ["cpu", choose_device("auto")]
    assert np.abs(found[0].predict(rows) - found[1].predict(rows)).max() < 1e-4


def test_batch_size_follows_engine_and_setting(app: Flask, trained: Path) -> None:
    for setting, expected in ((None, 64), (8, 8)):
        settings = {"TORCH_DEVICE": "cpu", "TORCH_BATCH_ROWS": setting}
        batcher = make_loader(app, trained, **settings).get().compute
        assert isinstance(batcher, Batcher)
        assert batcher.batch_rows == expected


def test_training_is_reproducible(tmp_path: Path) -> None:
    data, state = training.make_sample(100), torch.get_rng_state()
    store = Store(tmp_path, "torch")
    digests = [training.train(store, data, "torch", epochs=1).files for _ in range(2)]
    assert digests[0] == digests[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_extreme_data_is_refused(tmp_path: Path) -> None:
    data = training.make_sample(100)
    extreme = Dataset(data.rows * 1e38, data.classes, data.features, data.labels)
    with pytest.raises(DataError, match="diverges"):
        training.train(Store(tmp_path, "torch"), extreme, "torch", epochs=1)


def test_weights_of_another_network_are_refused(app: Flask, trained: Path, tmp_path: Path) -> None:
    weights = load(read_weights(trained))
    weights.pop("layers.0.bias")
    loader = make_loader(app, tmp_path)
    for content in (save(weights), b"", b"\x80\x04N."):
        reference = Store(trained, "torch").read().reference
        loader.store.write({WEIGHTS_FILE: content}, training.make_sample(), 1.0, reference, ())
        with pytest.raises(ModelError, match=r"model\.safetensors can't be loaded"):
            loader.get()


def test_training_for_pytorch_exports_no_onnx(app: Flask, trained: Path) -> None:
    with pytest.raises(ModelError, match=r"trained without model\.onnx"):
        make_loader(app, trained, TORCH_ENGINE="onnx").get()


def test_mixed_precision_gives_almost_the_same_answers(trained: Path) -> None:
    content, rows = read_weights(trained), training.make_sample(50).rows
    single, mixed = (load_torch(content, 3, "cpu", flag)(rows) for flag in (False, True))
    assert 0 < np.abs(mixed - single).max() < 0.05


def test_device_is_chosen_by_availability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == choose_device("auto") == "cpu"
    with pytest.raises(ModelError, match="TORCH_DEVICE is cuda"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"


@pytest.mark.usefixtures("no_packages")
def test_missing_packages_are_named(app: Flask, trained: Path, tmp_path: Path) -> None:
    for call in (make_loader(app, trained).get, make_loader(app, tmp_path).train):
        with pytest.raises(ModelError, match=r"pip install '\.\[train\]'"):
            call()


def test_command_trains_on_a_file(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    loader = make_loader(app, tmp_path / "models")
    monkeypatch.setitem(app.extensions, "torch", loader)
    command = ["train-torch", "--epochs", "10", "--data", str(tmp_path / "data.csv")]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0, result.output
    assert "accuracy: 1.000" in result.output
    assert loader.store.read().labels == ["x", "y"]
    assert loader.get().predict(np.array([[1.0] * 9 + [10]])).argmax() == 1


@pytest.mark.parametrize(
    ("content", "message"), [(CSV.replace(",x", ",y"), "two labels"), (CSV, "can't be written")]
)
def test_command_fails_with_one_line(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)
    monkeypatch.setitem(app.extensions, "torch", make_loader(app, path))
    result = app.test_cli_runner().invoke(args=["train-torch", "--data", str(path)])
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
