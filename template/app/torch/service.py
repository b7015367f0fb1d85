"""The classifier that serves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.serving.artefact import Artefact, Store
from app.serving.batching import Batcher
from app.serving.models import Classifier, Models
from app.torch.engines import choose_device, needing_packages, open_onnx, open_torch

INPUTS = 10
#: Whose version decides how the files are read; another one is refused.
READERS = {"onnx": ("onnxruntime",), "torch": ("torch",)}

#: Most rows of a shared call where the settings leave it open: by measurement, batching is of no
#: use to ONNX Runtime, as ``app.serving.batching`` says, and of most use to a GPU.
BATCH_ROWS = {"onnx": 1, "cpu": 64, "cuda": 1024}


def get_store(root: Path) -> Store:
    """All versions of the classifier."""
    return Store(root, "torch", INPUTS)


class TorchModels(Models):
    """Classifiers that were trained with PyTorch, on either engine."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(get_store(config["TORCH_MODEL_DIR"]), config["APP_ENV"] != "prod")
        self.engine: str = config["TORCH_ENGINE"]
        self.device: str = config["TORCH_DEVICE"]
        self.precision: str = config["TORCH_PRECISION"]
        self.threads: int = config["TORCH_THREADS"]
        self.batch_rows: int | None = config["TORCH_BATCH_ROWS"]
        self.queue_rows: int = config["TORCH_QUEUE_ROWS"]

    def open(self, artefact: Artefact) -> Classifier:
        artefact.check_libraries(READERS[self.engine])
        if self.engine == "onnx":
            device, compute = "cpu", open_onnx(artefact, self.threads)
        else:
            device = choose_device(self.device)
            compute = open_torch(artefact, self.threads, device, self.precision)
        default = BATCH_ROWS["onnx" if self.engine == "onnx" else device]
        batcher = Batcher(compute, "torch", self.batch_rows or default, self.queue_rows)
        return Classifier(batcher, artefact.manifest.labels, device)

    def train(self) -> None:
        with needing_packages():
            from app.torch.training import made_up, train
        train(self.store, made_up(), self.engine, choose_device(self.device))
