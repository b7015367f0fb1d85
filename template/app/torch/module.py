"""The network. Whoever imports this module imports PyTorch."""

# mypy: disallow-subclassing-any=False

import torch
from torch import Tensor, nn

from app.torch.service import INPUTS

HIDDEN = 64
REACH = 10.0  # standard deviations from the mean; what is farther away counts as this


class Classifier(nn.Module):
    """A perceptron with two hidden layers: (n, 10) → the logits of each label, (n, labels).

    It brings the inputs to the scale of the training data itself, so that clients send what they
    measured. No number is too large for it.
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

    def scale_to(self, rows: Tensor) -> None:
        """Take the scale of the inputs from (n, 10)."""
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp(min=1e-6))

    def forward(self, rows: Tensor) -> Tensor:
        scaled = (rows - self.mean) / self.deviation
        logits: Tensor = self.layers(scaled.clamp(-REACH, REACH))
        return logits


class Probabilities(nn.Module):
    """What serves: (n, 10) → the probability of each label, (n, labels)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, rows: Tensor) -> Tensor:
        return torch.softmax(self.classifier(rows), dim=-1)
