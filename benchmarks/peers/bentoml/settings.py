"""Two workers, adaptive batching as documented, no access log."""

import os
from typing import Any

SERVICE: dict[str, Any] = {"workers": 2, "logging": {"access": {"enabled": False}}}
BATCHING: dict[str, Any] = {
    "batchable": True,
    "max_batch_size": int(os.environ["BATCH_SIZE"]),
    "max_latency_ms": int(os.environ["BATCH_LATENCY_MS"]),
}
