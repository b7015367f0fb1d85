"""Training. Only what trains imports this module: it takes PyTorch and the ONNX exporter."""

import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from app.serving.arrays import LARGEST, FloatArray
from app.serving.artefact import Manifest, Reference, Store
from app.serving.data import BadData, Data
from app.serving.models import check_agreement
from app.serving.onnx import OUTPUT
from app.torch.engines import INPUT, ONNX_FILE, TOLERANCE, WEIGHTS_FILE, onnx_engine
from app.torch.module import Classifier, Probabilities
from app.torch.service import INPUTS

EPOCHS = 20
BATCH = 64  # rows of a step
HELD_OUT = 0.2  # the share of rows that are not trained on, and measure the accuracy
KEPT_ROWS = 30
FEWEST = 5  # rows of a label
SEED = 20

for exporter in ("torch.onnx", "onnxscript", "onnx_ir"):  # they tell of each step
    logging.getLogger(exporter).setLevel(logging.ERROR)


def made_up(rows: int = 600) -> Data:
    """Three overlapping clouds of points, the same at every call: to have something to begin with,
    until there is data.
    """
    random = np.random.default_rng(SEED)
    classes = random.integers(3, size=rows)
    centres = random.normal(scale=1.5, size=(3, INPUTS))
    points = centres[classes] + random.normal(size=(rows, INPUTS))
    features = [f"input {number}" for number in range(INPUTS)]
    return Data(points, classes, features, ["first", "second", "third"])


def train(
    store: Store,
    data: Data,
    engine: str = "onnx",
    device: str = "cpu",
    epochs: int = EPOCHS,
    done: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Fit a classifier and keep it as the version that serves.

    Args:
        store: where it is kept.
        engine: for ``torch``, no ONNX graph is made; the weights are always kept.
        device: what trains.
        epochs: how often it sees all rows.
        done: called with a word on each epoch when it is over.

    Raises:
        app.serving.data.BadData: training diverges.
        app.serving.artefact.ModelError: ONNX Runtime does not agree with PyTorch.
        OSError: the version cannot be written.
    """
    rows = torch.tensor(data.rows, dtype=torch.float32)
    classes = torch.tensor(data.classes, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        held_out, seen = torch.randperm(len(rows)).tensor_split([int(len(rows) * HELD_OUT)])
        model = fit(rows[seen], classes[seen], len(data.labels), device, epochs, done)
    accuracy = measure(model, rows[held_out], classes[held_out])
    files = {WEIGHTS_FILE: save(model.state_dict())}
    libraries: tuple[str, ...] = ("torch", "numpy", "safetensors")
    if engine == "onnx":
        files[ONNX_FILE] = export(model)
        libraries += ("onnxruntime", "onnx", "onnxscript")
        remedy = "Set TORCH_ENGINE=torch and train again."
        check_agreement(
            onnx_engine(files[ONNX_FILE], 1), refer(model, data.rows), TOLERANCE, remedy
        )
    return store.write(
        files,
        labels=data.labels,
        features=data.features,
        accuracy=accuracy,
        reference=refer(model, data.rows[:: max(1, len(data.rows) // KEPT_ROWS)]),
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
    """A trained network on the CPU, from (n, 10) and the (n,) indices of their labels."""
    model = Classifier(labels)
    model.scale_to(rows)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    loss_of = nn.CrossEntropyLoss()
    batches = DataLoader(TensorDataset(rows, classes), BATCH, shuffle=True)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for inputs, expected in batches:
            optimizer.zero_grad()
            loss = loss_of(model(inputs.to(device)), expected.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        if not np.isfinite(total):
            raise BadData("Training diverges on this data: look for numbers that are far off.")
        done(f"epoch {epoch}, loss {total / len(rows):.3f}")
    model.to("cpu").eval()
    return model


def measure(model: Classifier, rows: Tensor, classes: Tensor) -> float:
    """The share of rows, from 0 to 1, whose label the model finds."""
    with torch.inference_mode():
        return float((model(rows).argmax(dim=1) == classes).float().mean())


def export(model: Classifier) -> bytes:
    """The trained model in ONNX, in single precision and for any number of rows."""
    example = torch.zeros(2, INPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about its own parts
        program = torch.onnx.export(
            Probabilities(model).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    content: bytes = program.model_proto.SerializeToString()
    return content


def refer(model: Classifier, rows: FloatArray) -> Reference:
    """What the model answers to rows, and to the extremes that a request may hold."""
    extremes = [[0.0] * INPUTS, [LARGEST] * INPUTS, [-LARGEST] * INPUTS]
    asked = np.vstack([rows, extremes])
    with torch.inference_mode():
        proba = Probabilities(model).eval()(torch.tensor(asked, dtype=torch.float32))
    return Reference(rows=asked.tolist(), proba=proba.tolist())
