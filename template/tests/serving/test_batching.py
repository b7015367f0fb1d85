"""Requests that share calls."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from time import monotonic, sleep

import numpy as np
import pytest
from prometheus_client import REGISTRY

from app.serving.arrays import FloatArray
from app.serving.batching import Batcher, QueueFull

BAD = -1.0


class Model:
    """Doubles its rows. It can be held inside a call, and fails where a row is ``BAD``."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.entered = Event()
        self.released = Event()
        self.released.set()
        self.error: BaseException = ValueError("a bad row")

    def __call__(self, rows: FloatArray) -> FloatArray:
        self.sizes.append(len(rows))
        self.entered.set()
        assert self.released.wait(10)
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


def batcher(model: Model, batch_rows: int = 8, queue_rows: int = 100) -> Batcher:
    return Batcher(model, "test", batch_rows, queue_rows)


def hold(
    pool: ThreadPoolExecutor, model: Model, batching: Batcher, *requests: FloatArray
) -> list[Future[FloatArray]]:
    """Send the first request, and while it is computed the others, one after the other."""
    model.released.clear()
    futures = [pool.submit(batching, requests[0])]
    assert model.entered.wait(10)
    waiting = 0
    for request in requests[1:]:
        futures.append(pool.submit(batching, request))
        waiting += len(request)
        wait_for(batching, waiting)
    return futures


def wait_for(batching: Batcher, waiting: int) -> None:
    deadline = monotonic() + 10
    while batching.waiting != waiting:
        assert monotonic() < deadline
        sleep(0.0005)


def answers(futures: list[Future[FloatArray]]) -> list[list[float]]:
    return [future.result(10).ravel().tolist() for future in futures]


def test_a_request_that_is_alone_waits_for_nobody(model: Model) -> None:
    batching = batcher(model)
    for value in (1.0, 2.0):
        assert batching(rows(value)).tolist() == [[value * 2]]
    assert model.sizes == [1, 1]


def test_what_comes_during_a_call_shares_the_next(model: Model, pool: ThreadPoolExecutor) -> None:
    futures = hold(pool, model, batcher(model), rows(1), rows(2), rows(3, 4), rows(5))
    model.released.set()
    assert answers(futures) == [[2], [4], [6, 8], [10]]
    assert model.sizes == [1, 4]


def test_a_batch_is_counted_in_rows(model: Model, pool: ThreadPoolExecutor) -> None:
    requests = [rows(0), rows(*range(5)), rows(*range(3)), rows(*range(1, 8)), rows(9)]
    futures = hold(pool, model, batcher(model), *requests)
    model.released.set()
    assert answers(futures) == [(request * 2).ravel().tolist() for request in requests]
    assert model.sizes == [1, 8, 8]


def test_a_large_request_goes_alone_and_at_once(model: Model, pool: ThreadPoolExecutor) -> None:
    batching = batcher(model)
    held = hold(pool, model, batching, rows(1), rows(2))
    large = pool.submit(batching, rows(*range(8)))
    deadline = monotonic() + 10
    while model.sizes != [1, 8]:
        assert monotonic() < deadline
        sleep(0.0005)
    model.released.set()
    assert answers([large, *held]) == [[0, 2, 4, 6, 8, 10, 12, 14], [2], [4]]


def test_with_batches_of_one_row_nothing_is_queued(model: Model, pool: ThreadPoolExecutor) -> None:
    batching = batcher(model, batch_rows=1, queue_rows=1)
    model.released.clear()
    futures = [pool.submit(batching, rows(value)) for value in range(5)]
    deadline = monotonic() + 10
    while len(model.sizes) < 5:
        assert monotonic() < deadline
        sleep(0.0005)
    model.released.set()
    assert answers(futures) == [[0], [2], [4], [6], [8]]


def test_a_row_that_fails_fails_its_own_request(model: Model, pool: ThreadPoolExecutor) -> None:
    futures = hold(pool, model, batcher(model), rows(1), rows(2), rows(BAD, 3), rows(4))
    model.released.set()
    assert answers([futures[0], futures[1], futures[3]]) == [[2], [4], [8]]
    with pytest.raises(ValueError, match="a bad row"):
        futures[2].result(10)
    assert model.sizes == [1, 4, 1, 2, 1]


def test_a_full_queue_refuses(model: Model, pool: ThreadPoolExecutor) -> None:
    batching = batcher(model, queue_rows=3)
    futures = hold(pool, model, batching, rows(1), rows(2, 3))
    with pytest.raises(QueueFull) as caught:
        batching(rows(4, 5))
    assert caught.value.code == 503
    assert ("Retry-After", "1") in caught.value.get_headers()
    futures.append(pool.submit(batching, rows(6)))  # there is room for it
    wait_for(batching, 3)
    model.released.set()
    assert answers(futures) == [[2], [4, 6], [12]]


def test_more_rows_than_may_wait_get_in_where_no_other_waits(
    model: Model, pool: ThreadPoolExecutor
) -> None:
    batching = batcher(model, queue_rows=2)
    assert batching(rows(1, 2, 3)).tolist() == [[2], [4], [6]]
    futures = hold(pool, model, batching, rows(4), rows(5, 6, 7))
    with pytest.raises(QueueFull):
        batching(rows(8))
    model.released.set()
    assert answers(futures) == [[8], [10, 12, 14]]


def test_a_thread_that_ends_in_a_call_takes_nobody_along(
    model: Model, pool: ThreadPoolExecutor
) -> None:
    batching = batcher(model)
    model.error = SystemExit()
    futures = hold(pool, model, batching, rows(1), rows(2), rows(BAD))
    model.released.set()
    assert answers(futures[:1]) == [[2]]
    with pytest.raises(SystemExit):
        futures[1].result(10)  # it led
    with pytest.raises(RuntimeError, match="broken off"):
        futures[2].result(10)
    assert batching(rows(3)).tolist() == [[6]]


def test_an_answer_of_another_length_is_an_error() -> None:
    batching = Batcher(lambda rows: rows[1:], "test", 8, 100)
    for count in (1, 8):
        with pytest.raises(ValueError, match=f"{count} rows with {count - 1}"):
            batching(rows(*range(count)))


def test_a_pool_that_shuts_down_answers_all_that_it_took(model: Model) -> None:
    with ThreadPoolExecutor(8) as pool:
        futures = hold(pool, model, batcher(model, 2), *(rows(value) for value in range(8)))
        model.released.set()
        pool.shutdown(wait=False)
    assert answers(futures) == [[value * 2] for value in range(8)]


def test_64_callers_each_get_their_own_answer(model: Model, pool: ThreadPoolExecutor) -> None:
    batching = batcher(model, 16)

    def call(caller: int) -> bool:
        sent = [rows(*range(100 * caller, 100 * caller + size)) for size in (1, 3, 16, 2)]
        return all(np.array_equal(batching(request), request * 2) for request in sent)

    assert all(pool.map(call, range(64)))
    assert batching.waiting == 0


def test_the_metrics_tell_of_it(model: Model, pool: ThreadPoolExecutor) -> None:
    def sample(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"model": "metrics"}) or 0

    batching = Batcher(model, "metrics", 8, 100)
    futures = hold(pool, model, batching, rows(1), rows(2), rows(3))
    assert sample("model_queue_rows") == 2
    model.released.set()
    answers(futures)
    assert sample("model_queue_rows") == 0
    assert sample("model_batch_rows_count") == 1
    assert sample("model_batch_rows_sum") == 2
    assert sample("model_wait_seconds_count") == 3
    assert sample("model_compute_seconds_count") == 2
