"""The scenarios, the formats of requests, and the verification of predictions."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rows = list[list[float]]
#: Index and probability of the most likely class, for each row.
Answer = list[tuple[int, float]]

TOLERANCE = 1e-4  # of a probability, in single precision
NPY = "application/x-npy"
JSON = "application/json"


@dataclass(frozen=True)
class Scenario:
    name: str
    model: str  # iris or mlp
    rows: int  # per request
    connections: int

    @property
    def title(self) -> str:
        what = {"iris": "iris", "mlp": "MLP"}[self.model]
        rows = "one row" if self.rows == 1 else f"{self.rows} rows"
        ending = "" if self.connections == 1 else "s"
        return f"{what}, {rows}, {self.connections} connection{ending}"


SCENARIOS = [
    Scenario(f"{model}-{rows}-at-{connections}", model, rows, connections)
    for model in ("iris", "mlp")
    for rows, connections in ((1, 1), (1, 32), (1, 128), (512, 16))
]


@dataclass(frozen=True)
class RequestFormat:
    """How a system expects requests. ``encode`` converts rows to a body."""

    path: str
    encode: Callable[[Rows], bytes]
    content_type: str = JSON


def features(rows: Rows) -> bytes:
    return json.dumps({"features": rows[0]}).encode()


def many(name: str) -> Callable[[Rows], bytes]:
    return lambda rows: json.dumps({name: rows}).encode()


def v2(name: str, datatype: str, output: str | None = None) -> Callable[[Rows], bytes]:
    """The Open Inference Protocol (V2), which MLServer implements."""

    def encode(rows: Rows) -> bytes:
        flat = [number for row in rows for number in row]
        shape = [len(rows), len(rows[0])]
        tensor = {"name": name, "shape": shape, "datatype": datatype, "data": flat}
        body: dict[str, Any] = {"inputs": [tensor]}
        if output:
            body["outputs"] = [{"name": output}]
        return json.dumps(body).encode()

    return encode


def npy(rows: Rows) -> bytes:
    """Encode rows like ``numpy.save``, as float64."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    flat = [number for row in rows for number in row]
    magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    return magic + header.encode() + struct.pack(f"<{len(flat)}d", *flat)


def read_answer(body: bytes) -> Answer:
    """Parse the response of any system; raises ``ValueError``."""
    try:
        return read_document(json.loads(body))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a prediction: {body[:200]!r}") from error


def read_document(document: Any) -> Answer:
    if isinstance(document, dict) and "outputs" in document:
        return read_tensors({output["name"]: output for output in document["outputs"]})
    if isinstance(document, dict) and "predictions" in document:
        document = document["predictions"]
    if isinstance(document, list):
        return [(index_of(prediction), prediction["confidence"]) for prediction in document]
    index, confidence = index_of(document), document["confidence"]
    if isinstance(index, list):
        return list(zip(index, confidence, strict=True))
    return [(index, confidence)]


def index_of(prediction: dict[str, Any]) -> Any:
    return prediction["class_index"] if "class_index" in prediction else prediction["class"]


def read_tensors(tensors: dict[str, Any]) -> Answer:
    if "predict_proba" not in tensors:
        index, confidence = tensors["output-0"]["data"], tensors["output-1"]["data"]
        return list(zip(index, confidence, strict=True))
    proba = tensors["predict_proba"]
    width = proba["shape"][1]
    rows = [proba["data"][start : start + width] for start in range(0, len(proba["data"]), width)]
    return [(row.index(max(row)), max(row)) for row in rows]


def find_mismatch(found: Answer, expected: Answer) -> str | None:
    """Describe how an answer differs from the expected one; None if it does not."""
    if len(found) != len(expected):
        return f"{len(found)} predictions for {len(expected)} rows"
    for row, (prediction, right) in enumerate(zip(found, expected, strict=True)):
        if prediction[0] != right[0] or not abs(prediction[1] - right[1]) <= TOLERANCE:
            return f"row {row} is {prediction}, expected {right}"
    return None
