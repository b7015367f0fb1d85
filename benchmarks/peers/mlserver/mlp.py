"""A custom MLServer runtime for PyTorch, with NumPy input and output."""

import numpy as np
import torch
from mlserver import MLModel
from mlserver.codecs import decode_args
from mlserver.errors import MLServerError
from network import load_network


class Mlp(MLModel):
    async def load(self) -> bool:
        self.network = load_network()
        return True

    @decode_args
    async def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if inputs.ndim != 2 or inputs.shape[1] != 10 or not np.isfinite(inputs).all():
            raise MLServerError("must be n × 10 finite numbers", 422)
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(inputs.astype(np.float32)))
            confidence, best = torch.softmax(logits, dim=-1).max(dim=-1)
        return best.numpy().reshape(-1, 1), confidence.numpy().reshape(-1, 1)
