"""ONNX Runtime on the CPU, for whatever trained the model."""

from numpy.typing import DTypeLike

from app.serving.arrays import FloatArray
from app.serving.batching import Compute

OUTPUT = "probabilities"


def open_graph(content: bytes, threads: int, name: str, precision: DTypeLike) -> Compute:
    """A graph whose input ``name`` is of ``precision``; ``threads`` work on one call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def compute(rows: FloatArray) -> FloatArray:
        inputs = {name: rows.astype(precision, copy=False)}
        proba: FloatArray = session.run([OUTPUT], inputs)[0]
        return proba

    return compute
