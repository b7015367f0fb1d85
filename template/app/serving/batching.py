"""Dynamic batching: concurrent requests share calls of a model.

There is no background thread and no timer. The first request computes at once; requests that
arrive meanwhile queue up, and the first of them computes the next batch for all. A lone request
never waits, and batches grow with the load.

Batching pays where a call costs much more than a row: with PyTorch, above all on a GPU, and with
scikit-learn. With ONNX Runtime it costs more than it saves, so each request calls the model in its
own thread there.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock

import numpy as np
from prometheus_client import Histogram

from app.serving.arrays import FloatArray

#: A model: (n, features) → (n, labels), for any n from 1.
Compute = Callable[[FloatArray], FloatArray]

SIZES = [2**power for power in range(13)]  # rows
TIMES = [0.00001 * 4**power for power in range(10)]  # seconds
ROWS = Histogram("model_batch_rows", "Rows per shared call.", ["model"], buckets=SIZES)
COMPUTE = Histogram("model_compute_seconds", "Duration of a call.", ["model"], buckets=TIMES)


@dataclass(eq=False)
class Entry:
    """A request in the queue. ``turn`` is set once it is answered, or has to compute."""

    rows: FloatArray
    turn: Event = field(default_factory=Event)
    outcome: FloatArray | BaseException | None = None


class Batcher:
    """A model that many threads may call at the same time.

    Args:
        compute: The model.
        model: Its name in the metrics.
        batch_rows: Maximum rows of a shared call. Requests with as many or more go alone.
    """

    def __init__(self, compute: Compute, model: str, batch_rows: int) -> None:
        self.compute = compute
        self.batch_rows = batch_rows
        self.lock = Lock()
        self.queue: deque[Entry] = deque()  # bounded by the server's threads, which wait in it
        self.busy = False
        self.sizes = ROWS.labels(model)
        self.times = COMPUTE.labels(model)

    def __call__(self, rows: FloatArray) -> FloatArray:
        """The model's outputs for (n, features), in the same order; raises what the model does."""
        if len(rows) >= self.batch_rows:
            return self.call(rows)
        entry = Entry(rows)
        with self.lock:
            self.queue.append(entry)
            computes, self.busy = not self.busy, True
        if not computes:
            entry.turn.wait()
        outcome = self.compute_batch() if entry.outcome is None else entry.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def compute_batch(self) -> FloatArray | BaseException:
        """Answer a batch. Returns the outcome of its first request, which is the caller's."""
        batch = self.take_batch()
        outcomes: Sequence[FloatArray | BaseException]
        try:
            outputs = self.call(np.concatenate([entry.rows for entry in batch]))
            ends = np.cumsum([len(entry.rows) for entry in batch])
            outcomes = np.split(outputs, ends[:-1])
        except BaseException as error:
            outcomes = [error] * len(batch)
        for entry, outcome in zip(batch, outcomes, strict=True):
            entry.outcome = outcome
            entry.turn.set()
        with self.lock:
            self.busy = bool(self.queue)
            if self.busy:
                self.queue[0].turn.set()
        return outcomes[0]

    def take_batch(self) -> list[Entry]:
        """Remove as many requests from the queue as fit in a call."""
        with self.lock:
            batch = [self.queue.popleft()]
            size = len(batch[0].rows)
            while self.queue and size + len(self.queue[0].rows) <= self.batch_rows:
                batch.append(self.queue.popleft())
                size += len(batch[-1].rows)
        if len(batch) > 1:
            self.sizes.observe(size)
        return batch

    def call(self, rows: FloatArray) -> FloatArray:
        with self.times.time():
            return self.compute(rows)
