"""Training. Only imported to train, because PyTorch and the ONNX exporter are large."""

import logging
import warnings

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from app.serving.data import DataError, Dataset
from app.serving.models import Progress, check_reference, make_reference, show_nothing
from app.serving.onnx import OUTPUT, load_onnx
from app.serving.store import Manifest, Store
from app.torch.module import Network
from app.torch.service import EPOCHS, INPUTS, ONNX_FILE, TOLERANCE, WEIGHTS_FILE, make_compute

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
    done: Progress = show_nothing,
) -> Manifest:
    """Train a network and store it as the current version.

    Args:
        engine: With ``torch``, no ONNX model is exported.
        device: Where to train.

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
        network = Network(len(data.labels))
        fit(network, rows[seen], classes[seen], device, epochs, done)
    with torch.inference_mode():
        accuracy = float((network(rows[test]).argmax(dim=1) == classes[test]).float().mean())
    reference = make_reference(make_compute(network, "cpu"), data.rows)
    files = {WEIGHTS_FILE: save(network.state_dict())}
    libraries: tuple[str, ...] = ("numpy", "safetensors", "torch")
    if engine == "onnx":
        files[ONNX_FILE] = export_onnx(network)
        check_reference(load_onnx(files[ONNX_FILE]), reference, TOLERANCE)
        libraries += ("onnx", "onnxruntime", "onnxscript")
    return store.write(files, data, accuracy, reference, libraries)


def fit(
    network: Network, rows: Tensor, classes: Tensor, device: str, epochs: int, done: Progress
) -> None:
    """Train on (n, 10) rows and the (n,) indices of their labels. It ends up on the CPU."""
    network.fit_scale(rows)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    criterion = nn.CrossEntropyLoss()
    batches = DataLoader(TensorDataset(rows, classes), BATCH_SIZE, shuffle=True)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for inputs, expected in batches:
            optimizer.zero_grad()
            loss = criterion(network.logits(inputs.to(device)), expected.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        if not np.isfinite(total):
            raise DataError("Training diverges. Look for extreme numbers in the data.")
        done(f"epoch {epoch}, loss {total / len(rows):.3f}")
    network.to("cpu").eval()


def export_onnx(network: Network) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, about its own internals
        program = torch.onnx.export(
            network,
            (torch.zeros(2, INPUTS),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            output_names=[OUTPUT],
            verbose=False,
        )
    content: bytes = program.model_proto.SerializeToString()
    return content
