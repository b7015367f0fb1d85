"""What computes the probabilities. Each engine's library is imported where it is chosen, so the
process that serves with ONNX Runtime never imports scikit-learn.
"""

from collections.abc import Callable

import numpy as np

from app.arrays import FloatArray
from app.batching import Compute
from app.sklearn.artefact import TRAIN, Artefact, ModelError, Reference

ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
INPUT, OUTPUT = "features", "probabilities"
TOLERANCE = 1e-6


def open_engine(name: str, artefact: Artefact, threads: int) -> Compute:
    """The engine ``onnx`` or ``sklearn``, checked against what scikit-learn answered at training.

    Raises:
        ModelError: the files cannot be read, or the engine does not agree.
    """
    file, engine = ENGINES[name]
    content = artefact.read(file)
    try:
        compute = engine(content, threads)
    except Exception as error:  # of the library, for files that are not its own
        raise ModelError(f"The model's {file} cannot be loaded: {TRAIN}.") from error
    check_agreement(compute, artefact.manifest.reference)
    return compute


def onnx_engine(content: bytes, threads: int) -> Compute:
    """ONNX Runtime on the CPU; ``threads`` work on one call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def compute(rows: FloatArray) -> FloatArray:
        proba: FloatArray = session.run([OUTPUT], {INPUT: rows})[0]
        return proba

    return compute


def sklearn_engine(content: bytes, threads: int) -> Compute:
    """scikit-learn itself, from a file that holds none but types which skops knows to be safe.

    Its numeric libraries count their threads by themselves: ``OMP_NUM_THREADS``.
    """
    from skops.io import loads

    compute: Compute = loads(content, trusted=[]).predict_proba
    return compute


ENGINES: dict[str, tuple[str, Callable[[bytes, int], Compute]]] = {
    "onnx": (ONNX_FILE, onnx_engine),
    "sklearn": (SKOPS_FILE, sklearn_engine),
}


def check_agreement(compute: Compute, reference: Reference) -> None:
    """Refuse an engine whose probabilities differ from scikit-learn's by more than 1e-6."""
    expected = np.array(reference.proba)
    found = compute(np.array(reference.rows, np.float64))
    if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE:
        raise ModelError(
            "The engine and scikit-learn disagree on the model. Set SKLEARN_ENGINE=sklearn and "
            f"{TRAIN}."
        )
