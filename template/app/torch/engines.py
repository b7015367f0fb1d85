"""What computes the probabilities. Each engine's library is imported where it is chosen, so the
process that serves with ONNX Runtime never imports PyTorch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import structlog

from app.serving.arrays import FloatArray
from app.serving.artefact import Artefact, ModelError
from app.serving.batching import Compute
from app.serving.models import agrees, check_agreement
from app.serving.onnx import open_graph

if TYPE_CHECKING:
    import torch

ONNX_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"
INPUT = "inputs"
TOLERANCE = 1e-6
#: Other devices add in another order, and half the bits hold three digits.
DEVICE_TOLERANCE = 1e-4
MIXED_TOLERANCE = 1e-2

log = structlog.stdlib.get_logger(__name__)


def open_onnx(artefact: Artefact, threads: int) -> Compute:
    """ONNX Runtime on the CPU; ``threads`` work on one call. ``ModelError``."""
    content = artefact.read(ONNX_FILE)
    with needing_packages():
        import onnxruntime  # noqa: F401
    try:
        compute = onnx_engine(content, threads)
    except Exception as error:  # of the library, for files that are not its own
        raise artefact.broken(ONNX_FILE) from error
    check(compute, artefact, TOLERANCE)
    return compute


def onnx_engine(content: bytes, threads: int) -> Compute:
    """ONNX Runtime, in single precision as PyTorch computes."""
    return open_graph(content, threads, INPUT, np.float32)


def open_torch(artefact: Artefact, threads: int, device: str, precision: str) -> Compute:
    """PyTorch on ``device``, in mixed precision where ``precision`` allows it and the model's
    answers stay the same. ``ModelError``.
    """
    content = artefact.read(WEIGHTS_FILE)
    with needing_packages():
        import torch
        from safetensors.torch import load
    torch.set_num_threads(threads)
    try:
        model = build_model(load(content), len(artefact.manifest.labels)).to(device)
    except Exception as error:  # of the library, for weights of another network
        raise artefact.broken(WEIGHTS_FILE) from error
    mixed = precision == "mixed" and device != "cpu"
    return settle_precision(model, artefact, device, mixed)


def settle_precision(
    model: "torch.nn.Module", artefact: Artefact, device: str, mixed: bool
) -> Compute:
    """Mixed precision where it is allowed and keeps the answers, else single precision."""
    if mixed:
        compute = torch_engine(model, device, mixed=True)
        if keeps_answers(compute, artefact):
            return compute
        log.warning("mixed precision changes the model's answers; single precision serves")
    compute = torch_engine(model, device)
    check(compute, artefact, TOLERANCE if device == "cpu" else DEVICE_TOLERANCE)
    return compute


def build_model(weights: "Mapping[str, torch.Tensor]", labels: int) -> "torch.nn.Module":
    """The network with all of its weights from these; none is left as it was made up."""
    from app.torch.module import Classifier, Probabilities

    classifier = Classifier(labels)
    classifier.load_state_dict(weights, strict=True)
    return Probabilities(classifier).eval()


def torch_engine(model: "torch.nn.Module", device: str, mixed: bool = False) -> Compute:
    import torch

    half = torch.bfloat16 if device == "cpu" or torch.cuda.is_bf16_supported() else torch.float16

    def compute(rows: FloatArray) -> FloatArray:
        inputs = torch.from_numpy(rows.astype(np.float32))
        with torch.inference_mode(), torch.autocast(device.partition(":")[0], half, mixed):
            proba: FloatArray = model(inputs.to(device)).float().cpu().numpy()
        return proba

    return compute


def choose_device(wanted: str) -> str:
    """``cpu``, or ``cuda`` where it is wanted and there; ``auto`` wants it.

    Raises:
        ModelError: CUDA is wanted and is not there.
    """
    if wanted == "cpu":
        return "cpu"
    with needing_packages():
        import torch
    if torch.cuda.is_available():
        log.info("device chosen", device="cuda", name=torch.cuda.get_device_name())
        return "cuda"
    if wanted == "cuda":
        raise ModelError("TORCH_DEVICE is cuda, and PyTorch finds no CUDA device: set it to auto.")
    log.info("device chosen", device="cpu", reason="PyTorch finds no CUDA device")
    return "cpu"


def check(compute: Compute, artefact: Artefact, tolerance: float) -> None:
    remedy = f"Set TORCH_ENGINE to the other engine, or {artefact.store.remedy}."
    check_agreement(compute, artefact.manifest.reference, tolerance, remedy)


def keeps_answers(compute: Compute, artefact: Artefact) -> bool:
    """Whether each reference row gets its label, and its probabilities to two digits."""
    reference = artefact.manifest.reference
    found, expected = compute(np.array(reference.rows)), np.array(reference.proba)
    same = bool((found.argmax(axis=1) == expected.argmax(axis=1)).all())
    return same and agrees(found, reference, MIXED_TOLERANCE)


@contextmanager
def needing_packages() -> Iterator[None]:
    """Say what to install where an import fails."""
    try:
        yield
    except ImportError:
        raise ModelError("Some packages are not installed: pip install '.[train]'.") from None
