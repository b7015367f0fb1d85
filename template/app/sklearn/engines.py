"""What computes the probabilities. Each engine's library is imported where it is chosen, so the
process that serves with ONNX Runtime never imports scikit-learn.
"""

from collections.abc import Callable

import numpy as np

from app.serving.artefact import Artefact
from app.serving.batching import Compute
from app.serving.models import check_agreement
from app.serving.onnx import open_graph

ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
INPUT = "features"
TOLERANCE = 1e-6
REMEDY = "Set SKLEARN_ENGINE=sklearn and train again."


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
        raise artefact.broken(file) from error
    check_agreement(compute, artefact.manifest.reference, TOLERANCE, REMEDY)
    return compute


def onnx_engine(content: bytes, threads: int) -> Compute:
    """ONNX Runtime, in double precision as scikit-learn computes."""
    return open_graph(content, threads, INPUT, np.float64)


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
