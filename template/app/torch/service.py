"""Loading and training the network, and choosing the device.

Each library is imported only where it is used: with ONNX Runtime, a web process needs no PyTorch.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.serving.arrays import FloatArray
from app.serving.batching import Compute
from app.serving.data import read_csv
from app.serving.models import Classifier, ModelLoader, Progress, packages_required, show_nothing
from app.serving.onnx import load_onnx
from app.serving.store import Manifest, ModelError, Store

if TYPE_CHECKING:
    import torch

INPUTS = 10
ONNX_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"
EPOCHS = 20
#: Allowed differences of a probability. Other devices sum in another order, and half precision
#: has three digits.
TOLERANCE, CUDA_TOLERANCE, MIXED_TOLERANCE = 1e-6, 1e-4, 1e-2
#: Default maximum rows of a shared call; see ``app.serving.batching``.
BATCH_ROWS = {"onnx": 1, "cpu": 64, "cuda": 1024}


class TorchLoader(ModelLoader):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(Store(config["TORCH_MODEL_DIR"], "torch"), config)

    @packages_required()
    def open(self, manifest: Manifest) -> Classifier:
        if self.config["TORCH_ENGINE"] == "torch":
            return self.open_torch(manifest)
        load = partial(load_onnx, threads=self.config["TORCH_THREADS"])
        compute = self.store.load(manifest, ONNX_FILE, load)
        batch_rows = self.config["TORCH_BATCH_ROWS"] or BATCH_ROWS["onnx"]
        return self.make_classifier(compute, manifest, TOLERANCE, batch_rows)

    def open_torch(self, manifest: Manifest) -> Classifier:
        import torch

        torch.set_num_threads(self.config["TORCH_THREADS"])
        device = choose_device(self.config["TORCH_DEVICE"])
        mixed = device == "cuda" and self.config["TORCH_PRECISION"] == "mixed"
        load = partial(load_torch, labels=len(manifest.labels), device=device, mixed=mixed)
        compute = self.store.load(manifest, WEIGHTS_FILE, load)
        tolerance = MIXED_TOLERANCE if mixed else CUDA_TOLERANCE if device == "cuda" else TOLERANCE
        batch_rows = self.config["TORCH_BATCH_ROWS"] or BATCH_ROWS[device]
        return self.make_classifier(compute, manifest, tolerance, batch_rows, device)

    @packages_required()
    def train(
        self, data: Path | None = None, done: Progress = show_nothing, epochs: int = EPOCHS
    ) -> Manifest:
        from app.torch.training import MIN_ROWS, make_sample, train

        device = choose_device(self.config["TORCH_DEVICE"])
        dataset = read_csv(data, INPUTS, MIN_ROWS) if data else make_sample()
        return train(self.store, dataset, self.config["TORCH_ENGINE"], device, epochs, done)


def load_torch(content: bytes, labels: int, device: str, mixed: bool) -> Compute:
    """``safetensors`` files hold nothing but numbers, so loading runs no code."""
    from safetensors.torch import load

    from app.torch.module import Network

    network = Network(labels)
    network.load_state_dict(load(content))
    return make_compute(network.eval(), device, mixed)


def make_compute(model: "torch.nn.Module", device: str, mixed: bool = False) -> Compute:
    """Call the model on ``device``; ``mixed`` computes partly in half precision."""
    import torch

    model = model.to(device)
    half = torch.bfloat16 if device == "cpu" or torch.cuda.is_bf16_supported() else torch.float16

    def compute(rows: FloatArray) -> FloatArray:
        inputs = torch.from_numpy(rows.astype(np.float32)).to(device)
        with torch.inference_mode(), torch.autocast(device, half, mixed):
            proba: FloatArray = model(inputs).float().cpu().numpy()
        return proba

    return compute


def choose_device(wanted: str) -> str:
    """``cuda`` if it is available, unless ``wanted`` is ``cpu``.

    Raises:
        ModelError: ``wanted`` is ``cuda``, and it isn't available.
    """
    import torch

    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ModelError("TORCH_DEVICE is cuda, but PyTorch finds no CUDA device.")
    return "cpu"
