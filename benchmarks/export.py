"""Exports the service's models for the peers, with sample rows and their expected predictions.

Runs in the service's environment: ``python export.py SERVICE FOLDER MODEL...``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 512
SEED = 4


def version_of(service: Path, model: str) -> tuple[Path, dict[str, Any]]:
    """The folder of the current version, and its manifest."""
    root = service / "instance" / "models" / model
    folder = root / (root / "current").read_text()
    return folder, json.loads((folder / "manifest.json").read_text())


def export_iris(service: Path, folder: Path) -> Any:
    import joblib
    from skops.io import load

    version, manifest = version_of(service, "sklearn")
    model = load(version / "model.skops", trusted=[])
    joblib.dump({"model": model, "labels": manifest["labels"]}, folder / "iris.joblib")
    joblib.dump(model, folder / "model.joblib")
    random = np.random.default_rng(SEED)
    rows = random.uniform([4.3, 2.0, 1.0, 0.1], [7.9, 4.4, 6.9, 2.5], (ROWS, 4)).round(1)
    return rows, model.predict_proba(rows)


def export_mlp(service: Path, folder: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    version, _ = version_of(service, "torch")
    torch.save(load_file(version / "model.safetensors"), folder / "mlp.pt")
    from network import load_network

    rows = np.random.default_rng(SEED).normal(scale=2, size=(ROWS, 10)).round(4)
    with torch.inference_mode():
        logits = load_network()(torch.tensor(rows, dtype=torch.float32))
        return rows, torch.softmax(logits, dim=-1).numpy()


EXPORTS = {"iris": export_iris, "mlp": export_mlp}


def main(service: Path, folder: Path, models: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        rows, proba = EXPORTS[model](service, folder)
        best, confidence = proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist()
        answer = list(zip(best, confidence, strict=True))
        document = {"rows": rows.tolist(), "answer": answer}
        (folder / f"{model}.json").write_text(json.dumps(document))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
