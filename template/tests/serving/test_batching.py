"""Concurrent requests that share calls of a model."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from time import sleep

import numpy as np
import pytest
from prometheus_client import REGISTRY

from app.serving.arrays import FloatArray
from app.serving.batching import Batcher

BAD = -1.0


class Model:
    """Doubles its rows, or raises ``error`` for a row that is ``BAD``. A call can be held up."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.entered = Event()
        self.released = Event()
        self.released.set()
        self.error: BaseException = ValueError("a bad row")

    def __call__(self, rows: FloatArray) -> FloatArray:
        self.sizes.append(len(rows))
        self.entered.set()
        assert self.released.wait(60)
        if (rows == BAD).any():
            raise self.error
        return rows * 2


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def rows(*values: float) -> FloatArray:
    return np.array([[value] for value in values])


def hold(
    pool: ThreadPoolExecutor, model: Model, batcher: Batcher, *requests: FloatArray
) -> list[Future[FloatArray]]:
    """Send the first request, and while it is computed the others, one after the other."""
    model.released.clear()
    futures = [pool.submit(batcher, requests[0])]
    assert model.entered.wait(60)
    for count, request in enumerate(requests[1:], 1):
        futures.append(pool.submit(batcher, request))
        while len(batcher.queue) != count:
            sleep(0.0005)
    return futures


def answers(futures: list[Future[FloatArray]]) -> list[list[float]]:
    return [future.result(60).ravel().tolist() for future in futures]


def test_lone_request_is_computed_at_once(model: Model) -> None:
    batcher = Batcher(model, "test", 8)
    for value in (1.0, 2.0):
        assert batcher(rows(value)).tolist() == [[value * 2]]
    assert model.sizes == [1, 1]


def test_requests_during_a_call_share_the_next(model: Model, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, "test", 8)
    futures = hold(pool, model, batcher, rows(1), rows(2), rows(3, 4), rows(5))
    model.released.set()
    assert answers(futures) == [[2], [4], [6, 8], [10]]
    assert model.sizes == [1, 4]


def test_batch_size_is_counted_in_rows(model: Model, pool: ThreadPoolExecutor) -> None:
    requests = [rows(0), rows(*range(5)), rows(*range(3)), rows(*range(1, 8)), rows(9)]
    futures = hold(pool, model, Batcher(model, "test", 8), *requests)
    model.released.set()
    assert answers(futures) == [(request * 2).ravel().tolist() for request in requests]
    assert model.sizes == [1, 8, 8]


def test_large_request_bypasses_the_queue(model: Model, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, "test", 8)
    held = hold(pool, model, batcher, rows(1), rows(2))
    large = pool.submit(batcher, rows(*range(8)))
    while model.sizes != [1, 8]:
        sleep(0.0005)
    model.released.set()
    assert answers([large, *held]) == [[0, 2, 4, 6, 8, 10, 12, 14], [2], [4]]


def test_batch_of_one_row_disables_batching(model: Model, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, "test", 1)
    model.released.clear()
    futures = [pool.submit(batcher, rows(value)) for value in range(5)]
    while len(model.sizes) < 5:
        sleep(0.0005)
    model.released.set()
    assert answers(futures) == [[0], [2], [4], [6], [8]]


@pytest.mark.parametrize("error", [ValueError("a bad row"), SystemExit()])
def test_error_reaches_each_request_of_the_batch(
    model: Model, pool: ThreadPoolExecutor, error: BaseException
) -> None:
    batcher = Batcher(model, "test", 8)
    model.error = error
    futures = hold(pool, model, batcher, rows(1), rows(2), rows(BAD))
    model.released.set()
    assert answers(futures[:1]) == [[2]]
    for future in futures[1:]:
        with pytest.raises(type(error)):
            future.result(60)
    assert batcher(rows(3)).tolist() == [[6]]


def test_64_callers_get_their_own_answers(model: Model, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(model, "test", 16)

    def call(caller: int) -> bool:
        sent = [rows(*range(100 * caller, 100 * caller + size)) for size in (1, 3, 16, 2)]
        return all(np.array_equal(batcher(request), request * 2) for request in sent)

    assert all(pool.map(call, range(64)))
    assert not batcher.queue


def test_metrics_count_calls_and_shared_rows(model: Model, pool: ThreadPoolExecutor) -> None:
    def sample(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"model": "metrics"}) or 0

    batcher = Batcher(model, "metrics", 8)
    futures = hold(pool, model, batcher, rows(1), rows(2), rows(3))
    model.released.set()
    answers(futures)
    assert sample("model_batch_rows_count") == 1
    assert sample("model_batch_rows_sum") == 2
    assert sample("model_compute_seconds_count") == 2
