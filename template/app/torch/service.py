"""Loading the network, with ONNX Runtime or PyTorch.

Each library is imported only where it is used: with ONNX Runtime, a web process needs no PyTorch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from app.serving.arrays import FloatArray
from app.serving.batching import Compute
from app.serving.models import Classifier, ModelLoader
from app.serving.onnx import load_onnx
from app.serving.store import ModelError, ModelVersion, Store

if TYPE_CHECKING:
    import torch

INPUTS = 10
ONNX_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"
INPUT = "inputs"
#: Allowed differences of a probability. Other devices sum in another order, and half precision
#: has three digits.
TOLERANCE, CUDA_TOLERANCE, MIXED_TOLERANCE = 1e-6, 1e-4, 1e-2
#: Default maximum rows of a shared call; see ``app.serving.batching``.
BATCH_ROWS = {"onnx": 1, "cpu": 64, "cuda": 1024}

log = structlog.stdlib.get_logger(__name__)


class TorchLoader(ModelLoader):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(Store(config["TORCH_MODEL_DIR"], "torch"), config)

    def open(self, version: ModelVersion) -> Classifier:
        with packages_required():
            if self.config["TORCH_ENGINE"] == "torch":
                return self.open_torch(version)
            threads = self.config["TORCH_THREADS"]
            compute = version.load(ONNX_FILE, lambda content: load_onnx_model(content, threads))
        batch_rows = self.config["TORCH_BATCH_ROWS"] or BATCH_ROWS["onnx"]
        return self.make_classifier(compute, version, TOLERANCE, batch_rows)

    def open_torch(self, version: ModelVersion) -> Classifier:
        import torch

        torch.set_num_threads(self.config["TORCH_THREADS"])
        device = choose_device(self.config["TORCH_DEVICE"])
        mixed = device == "cuda" and self.config["TORCH_PRECISION"] == "mixed"
        labels = len(version.manifest.labels)
        compute = version.load(
            WEIGHTS_FILE, lambda content: load_torch_model(content, labels, device, mixed)
        )
        tolerance = MIXED_TOLERANCE if mixed else CUDA_TOLERANCE if device == "cuda" else TOLERANCE
        batch_rows = self.config["TORCH_BATCH_ROWS"] or BATCH_ROWS[device]
        return self.make_classifier(compute, version, tolerance, batch_rows, device)

    def train(self) -> None:
        with packages_required():
            from app.torch.training import make_sample, train

        device = choose_device(self.config["TORCH_DEVICE"])
        train(self.store, make_sample(), self.config["TORCH_ENGINE"], device)


def load_onnx_model(content: bytes, threads: int) -> Compute:
    """In single precision, like PyTorch."""
    return load_onnx(content, threads, INPUT, np.float32)


def load_torch_model(content: bytes, labels: int, device: str, mixed: bool) -> Compute:
    """``safetensors`` files hold nothing but numbers, so loading runs no code."""
    from safetensors.torch import load

    from app.torch.module import Classifier, Probabilities

    classifier = Classifier(labels)
    classifier.load_state_dict(load(content))
    return make_compute(Probabilities(classifier).eval(), device, mixed)


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
    if wanted == "cpu":
        return "cpu"
    with packages_required():
        import torch
    if torch.cuda.is_available():
        log.info("device chosen", device="cuda", name=torch.cuda.get_device_name())
        return "cuda"
    if wanted == "cuda":
        raise ModelError("TORCH_DEVICE is cuda, but PyTorch finds no CUDA device.")
    log.info("device chosen", device="cpu", reason="PyTorch finds no CUDA device")
    return "cpu"


@contextmanager
def packages_required() -> Iterator[None]:
    """Explain what to install if an import fails."""
    try:
        yield
    except ImportError:
        raise ModelError("Packages are missing: pip install '.[train]'.") from None
