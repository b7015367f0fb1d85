"""ONNX Runtime on the CPU."""

from numpy.typing import DTypeLike

from app.serving.arrays import FloatArray
from app.serving.batching import Compute

OUTPUT = "probabilities"


def load_onnx(content: bytes, threads: int, name: str, dtype: DTypeLike) -> Compute:
    """Load a model whose input is called ``name``; ``threads`` work on one call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def compute(rows: FloatArray) -> FloatArray:
        proba: FloatArray = session.run([OUTPUT], {name: rows.astype(dtype, copy=False)})[0]
        return proba

    return compute
