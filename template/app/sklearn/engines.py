"""What computes the probabilities. Each engine's library is imported where it is chosen, so the
process that serves with ONNX Runtime never imports scikit-learn.
"""

from collections.abc import Callable

from app.serving.arrays import FloatArray
from app.serving.artefact import Artefact, ModelError
from app.serving.batching import Compute
from app.serving.models import check_agreement

ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
INPUT, OUTPUT = "features", "probabilities"
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
        remedy = artefact.store.remedy
        raise ModelError(f"The model's {file} cannot be loaded: {remedy}.") from error
    check_agreement(compute, artefact.manifest.reference, TOLERANCE, REMEDY)
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
