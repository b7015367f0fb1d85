"""Training. Only imported to train, because PyTorch and the ONNX exporter are large."""

import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from app.serving.data import DataError, Dataset
from app.serving.models import check_reference, make_reference
from app.serving.onnx import OUTPUT
from app.serving.store import Manifest, Store
from app.torch.module import Classifier, Probabilities
from app.torch.service import (
    INPUT,
    INPUTS,
    ONNX_FILE,
    TOLERANCE,
    WEIGHTS_FILE,
    load_onnx_model,
    make_compute,
)

EPOCHS = 20
BATCH_SIZE = 64
TEST_SHARE = 0.2  # of the rows, to measure the accuracy
MIN_ROWS = 5  # for each label
SEED = 20

for exporter in ("torch.onnx", "onnxscript", "onnx_ir"):  # they log each step
    logging.getLogger(exporter).setLevel(logging.ERROR)


def make_sample(rows: int = 600) -> Dataset:
    """Synthetic data: three overlapping clouds of points, the same at every call."""
    random = np.random.default_rng(SEED)
    classes = random.integers(3, size=rows)
    centres = random.normal(scale=1.5, size=(3, INPUTS))
    points = centres[classes] + random.normal(size=(rows, INPUTS))
    features = [f"input {number}" for number in range(INPUTS)]
    return Dataset(points, classes, features, ["first", "second", "third"])


def train(
    store: Store,
    data: Dataset,
    engine: str = "onnx",
    device: str = "cpu",
    epochs: int = EPOCHS,
    done: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Train a network and store it as the current version.

    Args:
        engine: With ``torch``, no ONNX model is exported.
        device: Where to train.
        done: Called with a description of each finished epoch.

    Raises:
        app.serving.data.DataError: Training diverges.
        app.serving.store.ModelError: The ONNX model's answers differ from PyTorch's.
        OSError: The version can't be written.
    """
    rows = torch.tensor(data.rows, dtype=torch.float32)
    classes = torch.tensor(data.classes, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):  # reproducible, and no effect on other users
        torch.manual_seed(SEED)
        test, seen = torch.randperm(len(rows)).tensor_split([int(len(rows) * TEST_SHARE)])
        model = fit(rows[seen], classes[seen], len(data.labels), device, epochs, done)
    served = Probabilities(model).eval()
    reference = make_reference(make_compute(served, "cpu"), data.rows)
    files = {WEIGHTS_FILE: save(model.state_dict())}
    libraries: tuple[str, ...] = ("numpy", "safetensors", "torch")
    if engine == "onnx":
        files[ONNX_FILE] = export_onnx(served)
        check_reference(load_onnx_model(files[ONNX_FILE], 1), reference, TOLERANCE)
        libraries += ("onnx", "onnxruntime", "onnxscript")
    return store.write(
        files,
        labels=data.labels,
        features=data.features,
        accuracy=measure_accuracy(model, rows[test], classes[test]),
        reference=reference,
        libraries=libraries,
    )


def fit(
    rows: Tensor,
    classes: Tensor,
    labels: int,
    device: str,
    epochs: int,
    done: Callable[[str], None],
) -> Classifier:
    """Train on (n, 10) rows and the (n,) indices of their labels. The result is on the CPU."""
    model = Classifier(labels)
    model.fit_scale(rows)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    criterion = nn.CrossEntropyLoss()
    batches = DataLoader(TensorDataset(rows, classes), BATCH_SIZE, shuffle=True)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for inputs, expected in batches:
            optimizer.zero_grad()
            loss = criterion(model(inputs.to(device)), expected.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        if not np.isfinite(total):
            raise DataError("Training diverges. Look for extreme numbers in the data.")
        done(f"epoch {epoch}, loss {total / len(rows):.3f}")
    model.to("cpu").eval()
    return model


def measure_accuracy(model: Classifier, rows: Tensor, classes: Tensor) -> float:
    with torch.inference_mode():
        return float((model(rows).argmax(dim=1) == classes).float().mean())


def export_onnx(model: Probabilities) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, about its own internals
        program = torch.onnx.export(
            model,
            (torch.zeros(2, INPUTS),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    content: bytes = program.model_proto.SerializeToString()
    return content
