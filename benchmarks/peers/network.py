"""The perceptron trained by ``flask train-torch``, as served by the peers."""

import os

import torch
from torch import nn

CLIP = 10.0


class Network(nn.Module):
    """(n, 10) → logits, (n, labels)."""

    def __init__(self, inputs: int, hidden: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, labels),
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        scaled = (rows - self.mean) / self.deviation
        return self.layers(scaled.clamp(-CLIP, CLIP))


def load_network() -> Network:
    weights = torch.load(os.path.join(os.environ["MODELS"], "mlp.pt"), weights_only=True)
    hidden, inputs = weights["layers.0.weight"].shape
    network = Network(inputs, hidden, len(weights["layers.4.bias"]))
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def classify(network: nn.Module, rows: torch.Tensor) -> list[dict[str, float]]:
    """The most likely class of each row, and its probability."""
    confidence, best = torch.softmax(network(rows), dim=-1).max(dim=-1)
    return [
        {"class": index, "confidence": share}
        for index, share in zip(best.tolist(), confidence.tolist(), strict=True)
    ]
