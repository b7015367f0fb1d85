"""Batching on a GPU: ``python benchmarks/gpu.py SERVICE``, in the environment of a service that was
rendered with ``torch`` and ``accelerator=cuda``.

256 threads, as the server has for as many connections, each request one row at a time from a
network of 1024-4096-4096-1000, through the service's own batching and engine. This is compared with
one forward pass per request, and with the device's maximum: the same engine in a tight loop on
batches of the same size. Without a CUDA device, nothing is measured and the script succeeds.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

SIZES = (1024, 4096, 4096, 1000)
CONNECTIONS = 256
SECONDS = 5.0
ROUNDS = 5
OUTPUT = Path(__file__).parent / "results" / "gpu.json"


def main(service: Path) -> int:
    sys.path.insert(0, str(service))
    try:
        import torch
    except ImportError:
        print("not measured: PyTorch is not installed here")
        return 0
    if not torch.cuda.is_available():
        print("not measured: no CUDA device")
        return 0
    found = measure()
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n")
    print(describe(found))
    return 0


def measure() -> dict[str, Any]:
    """Measure rows per second, as medians of interleaved rounds."""
    import numpy as np
    import torch
    from app.serving.batching import Batcher
    from app.torch.service import BATCH_ROWS, make_compute

    torch.manual_seed(4)
    engine = make_compute(build().eval(), "cuda", mixed=True)
    sizes: list[int] = []

    def record_sizes(rows: Any) -> Any:
        sizes.append(len(rows))
        return engine(rows)

    batched = Batcher(record_sizes, "gpu", BATCH_ROWS["cuda"])
    single = Batcher(engine, "gpu-single", 1)
    rows = np.random.default_rng(4).normal(size=(CONNECTIONS, SIZES[0]))
    check(batched, engine, rows)
    rates: dict[str, list[float]] = {"batched": [], "single": [], "device": []}
    for _ in range(ROUNDS):
        sizes.clear()
        rates["batched"].append(load(batched, rows))
        size = round(sum(sizes) / len(sizes))
        rates["single"].append(load(single, rows))
        rates["device"].append(tight_loop(engine, rows[:size]))
    pairs = list(zip(rates["batched"], rates["single"], rates["device"], strict=True))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "connections": CONNECTIONS,
        "network": SIZES,
        "rows_of_a_batch": size,
        "rows_per_s": {name: rounded_median(values) for name, values in rates.items()},
        "batched_to_single": rounded_median([batched / single for batched, single, _ in pairs]),
        "batched_to_device": rounded_median([batched / device for batched, _, device in pairs]),
    }


def build() -> Any:
    from torch import nn

    layers: list[Any] = []
    for inputs, outputs in pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Softmax(dim=-1))


def check(batched: Any, engine: Any, rows: Any) -> None:
    """Check that concurrent callers get their own answers."""
    import numpy as np

    expected = engine(rows)
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = batched(rows[number : number + 1])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(len(rows)):
        if not np.allclose(found[number], expected[number], atol=1e-3):
            raise SystemExit("wrong: a caller got the answer of another")


def load(model: Any, rows: Any) -> float:
    """Rows per second with one thread per row, each waiting for its answer."""
    counts = [0] * len(rows)
    end = time.perf_counter() + SECONDS

    def call(number: int) -> None:
        mine = rows[number : number + 1]
        while time.perf_counter() < end:
            model(mine)
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(rows))]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def tight_loop(engine: Any, batch: Any) -> float:
    """Rows per second of a single thread, including transfers to and from the device."""
    done = 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        engine(batch)
        done += len(batch)
    return done / (time.perf_counter() - begun)


def rounded_median(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 2)


def describe(found: dict[str, Any]) -> str:
    rates = found["rows_per_s"]
    return (
        f"{found['device']}, {found['date']}: {rates['batched']:,.0f} rows/s batched, "
        f"{rates['single']:,.0f} one by one ({found['batched_to_single']:.1f} ×, target ≥ 10), "
        f"{rates['device']:,.0f} in a tight loop on {found['rows_of_a_batch']} rows "
        f"({found['batched_to_device']:.0%}, target ≥ 70 %)"
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
