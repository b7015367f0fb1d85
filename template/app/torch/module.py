"""The network. Importing this module imports PyTorch."""

# mypy: disallow-subclassing-any=False

import torch
from torch import Tensor, nn

from app.torch.service import INPUTS

HIDDEN = 64
CLIP = 10.0  # standard deviations from the mean


class Network(nn.Module):
    """A perceptron with two hidden layers: (n, 10) → probabilities (n, labels).

    It standardizes its inputs itself, so clients send raw values.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("deviation", torch.ones(INPUTS))
        self.layers = nn.Sequential(
            nn.Linear(INPUTS, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, labels),
        )

    def fit_scale(self, rows: Tensor) -> None:
        """Take mean and deviation from the training data, (n, 10)."""
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp(min=1e-6))

    def logits(self, rows: Tensor) -> Tensor:
        """(n, 10) → (n, labels)."""
        scaled = (rows - self.mean) / self.deviation
        logits: Tensor = self.layers(scaled.clamp(-CLIP, CLIP))
        return logits

    def forward(self, rows: Tensor) -> Tensor:
        return torch.softmax(self.logits(rows), dim=-1)
