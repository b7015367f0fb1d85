"""Cross-request batching: requests that come at the same time share calls of a model.

There is no thread and no timer. The first request to arrive leads: it computes what is queued, and
hands the lead to the first of those that queued meanwhile. So a request that is alone waits for
nobody, and batches grow with the load. All that was accepted is answered by the threads that
brought it, so a server that finishes its requests loses none.

It pays only where a call costs much more than a row. Requests answered a second with batches of up
to 64 rows, against calls one by one; the iris model, one row a request, on 2 cores:

    threads         1      8     32    128
    scikit-learn    0.94   2.9   8.4   12.7
    ONNX Runtime    0.60   0.61  0.93  1.2

A limit of one row switches it off: every request then calls the model by itself, in its own thread.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from time import perf_counter

import numpy as np
from prometheus_client import Gauge, Histogram
from werkzeug.exceptions import ServiceUnavailable

from app.serving.arrays import FloatArray

#: A model: (n, inputs) → (n, outputs), for any n from 1.
Compute = Callable[[FloatArray], FloatArray]

SIZES = [2**power for power in range(13)]  # rows
TIMES = [0.00001 * 4**power for power in range(10)]  # seconds, 10 µs to 2.6 s
QUEUED = Gauge(
    "model_queue_rows", "Rows that wait for a batch.", ["model"], multiprocess_mode="livesum"
)
ROWS = Histogram("model_batch_rows", "Rows of a shared call.", ["model"], buckets=SIZES)
WAIT = Histogram("model_wait_seconds", "Time of a request in the queue.", ["model"], buckets=TIMES)
COMPUTE = Histogram("model_compute_seconds", "Time of a call.", ["model"], buckets=TIMES)


class QueueFull(ServiceUnavailable):
    """More rows wait already than may: 503 with ``Retry-After``."""

    def __init__(self) -> None:
        super().__init__("Too many requests wait for the model. Try again soon.", retry_after=1)


@dataclass(eq=False)
class Entry:
    """A request in the queue. Its turn has come when it is answered, or when it has to lead."""

    rows: FloatArray
    queued: float
    turn: Event = field(default_factory=Event)
    answered: bool = False
    result: FloatArray | None = None
    error: Exception | None = None

    def outcome(self) -> FloatArray:
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise RuntimeError("the call that this request took part in was broken off")
        return self.result


class Batcher:
    """A model that many threads call at the same time.

    Args:
        compute: the model; it is called by one thread at a time, but for requests that go alone.
        model: its name in the metrics.
        batch_rows: most rows of a shared call. A request with as many goes alone, past the queue.
        queue_rows: most rows that may wait. A request with more gets in where no other waits.
    """

    def __init__(self, compute: Compute, model: str, batch_rows: int, queue_rows: int) -> None:
        self.compute = compute
        self.batch_rows = batch_rows
        self.queue_rows = queue_rows
        self.lock = Lock()
        self.queue: deque[Entry] = deque()
        self.waiting = 0  # rows in the queue
        self.led = False  # where it is not, the queue is empty
        self.depth = QUEUED.labels(model)
        self.sizes = ROWS.labels(model)
        self.waits = WAIT.labels(model)
        self.times = COMPUTE.labels(model)

    def __call__(self, rows: FloatArray) -> FloatArray:
        """The model's outputs for (n, inputs), in the same order.

        Raises:
            QueueFull: too many rows wait already.
            Exception: what the model raised for these very rows.
        """
        if len(rows) >= self.batch_rows:
            return self.call(rows)
        entry = Entry(rows, perf_counter())
        if not self.enter(entry):
            entry.turn.wait()
        if not entry.answered:
            self.lead()
        return entry.outcome()

    def enter(self, entry: Entry) -> bool:
        """Queue a request; whether it leads."""
        with self.lock:
            if self.waiting and self.waiting + len(entry.rows) > self.queue_rows:
                raise QueueFull
            self.queue.append(entry)
            self.count(len(entry.rows))
            leads, self.led = not self.led, True
        return leads

    def lead(self) -> None:
        """Answer one batch, with the request that leads at its head."""
        batch = self.take()
        try:
            self.answer(batch)
        finally:
            for entry in batch:
                entry.answered = True
                entry.turn.set()
            self.hand_over()

    def take(self) -> list[Entry]:
        """What is queued, up to a batch."""
        with self.lock:
            batch = [self.queue.popleft()]
            size = len(batch[0].rows)
            while self.queue and size + len(self.queue[0].rows) <= self.batch_rows:
                batch.append(self.queue.popleft())
                size += len(batch[-1].rows)
            self.count(-size)
        return batch

    def hand_over(self) -> None:
        """The first that queued meanwhile leads the next batch."""
        with self.lock:
            self.led = bool(self.queue)
            if self.led:
                self.queue[0].turn.set()

    def count(self, rows: int) -> None:
        self.waiting += rows
        self.depth.set(self.waiting)

    def answer(self, batch: list[Entry]) -> None:
        """Give each request its rows of the result; where the call fails, each fails alone."""
        started = perf_counter()
        for entry in batch:
            self.waits.observe(started - entry.queued)
        if len(batch) == 1:
            self.answer_singly(batch)
            return
        try:
            outputs = self.call(np.concatenate([entry.rows for entry in batch]))
        except Exception:
            self.answer_singly(batch)
            return
        self.sizes.observe(len(outputs))
        start = 0
        for entry in batch:
            end = start + len(entry.rows)
            entry.result = outputs[start:end]
            start = end

    def answer_singly(self, batch: list[Entry]) -> None:
        for entry in batch:
            try:
                entry.result = self.call(entry.rows)
            except Exception as error:
                entry.error = error

    def call(self, rows: FloatArray) -> FloatArray:
        """The model itself, measured."""
        started = perf_counter()
        outputs = self.compute(rows)
        self.times.observe(perf_counter() - started)
        if len(outputs) != len(rows):
            raise ValueError(f"the model answers {len(rows)} rows with {len(outputs)}")
        return outputs
