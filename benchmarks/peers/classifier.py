"""The pipeline trained by ``flask train-sklearn``, as served by the peers."""

import os
from typing import Any

import joblib
import numpy as np


class Classifier:
    def __init__(self) -> None:
        bundle = joblib.load(os.path.join(os.environ["MODELS"], "iris.joblib"))
        self.model, self.labels = bundle["model"], bundle["labels"]

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        """A prediction for each row of (n, 4)."""
        proba = self.model.predict_proba(np.asarray(rows, dtype=np.float64))
        best = proba.argmax(axis=1).tolist()
        return [
            {
                "label": self.labels[index],
                "class_index": index,
                "confidence": shares[index],
                "proba": dict(zip(self.labels, shares, strict=True)),
            }
            for index, shares in zip(best, proba.tolist(), strict=True)
        ]
