"""ONNX Runtime on the CPU."""

import numpy as np

from app.serving.arrays import FloatArray
from app.serving.batching import Compute

OUTPUT = "probabilities"


def load_onnx(content: bytes, threads: int = 1) -> Compute:
    """Load a model with one input; ``threads`` work on one call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    name, dtype = given.name, np.float64 if given.type == "tensor(double)" else np.float32

    def compute(rows: FloatArray) -> FloatArray:
        proba: FloatArray = session.run([OUTPUT], {name: rows.astype(dtype, copy=False)})[0]
        return proba

    return compute
