"""The worker that runs queued jobs in micro-batches: order, isolation, cancellation, and a short end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edit_rrm_service.engines.base import EngineDeadError, EngineError
from edit_rrm_service.engines.batching import MicroBatcher, Ticket

Run = Callable[[Sequence[Ticket[int, int]]], Sequence[int | Exception]]
WAIT_S = 5.0


class Batches:
    """A runner that doubles numbers, and remembers what it was given together."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()

    def __call__(self, tickets: Sequence[Ticket[int, int]]) -> list[int | Exception]:
        self.started.set()
        assert self.gate.wait(WAIT_S)
        self.seen.append([ticket.job for ticket in tickets])
        if any(ticket.job < 0 for ticket in tickets):
            raise ValueError("negative")
        return [2 * ticket.job for ticket in tickets]


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def batcher(batches: Batches) -> Iterator[MicroBatcher[int, int]]:
    batcher = MicroBatcher[int, int](batches, max_batch=4)
    yield batcher
    batches.gate.set()
    batcher.close()


def outcomes(futures: Sequence[Future[int]]) -> list[int | BaseException | None]:
    _, waiting = wait(futures, WAIT_S)
    assert not waiting
    return [future.exception() or future.result() for future in futures]


def block(batcher: MicroBatcher[int, int], batches: Batches) -> Future[int]:
    """Keep the worker busy, so that what follows waits together."""
    batches.gate.clear()
    batches.started.clear()
    (ticket,) = batcher.submit([0], "block")
    assert batches.started.wait(WAIT_S)
    return ticket.future


@settings(max_examples=30, deadline=None)
@given(jobs=st.lists(st.tuples(st.integers(-3, 50), st.sampled_from("ab")), max_size=20), size=st.integers(1, 5))
def test_every_job_gets_its_own_result_or_failure(jobs: list[tuple[int, str]], size: int) -> None:
    batches = Batches()
    batcher = MicroBatcher[int, int](batches, max_batch=size)
    try:
        first = block(batcher, batches)
        futures = [batcher.submit([job], kind)[0].future for job, kind in jobs]
        batches.gate.set()
        results = outcomes([first, *futures])[1:]
    finally:
        batches.gate.set()
        batcher.close()
    for (job, _), result in zip(jobs, results, strict=True):
        if job < 0:
            assert isinstance(result, EngineError)
            assert "ValueError: negative" in str(result)
        else:
            assert result == 2 * job
    assert max(map(len, batches.seen)) <= size


def test_waiting_jobs_of_one_kind_run_together_oldest_first(batcher: MicroBatcher[int, int], batches: Batches) -> None:
    futures = [block(batcher, batches)]
    for job, kind in ((1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "b"), (6, "a"), (7, "a")):
        futures += [ticket.future for ticket in batcher.submit([job], kind)]
    batches.gate.set()
    outcomes(futures)
    assert batches.seen == [[0], [1, 3, 4, 6], [2, 5], [7]]


def test_a_bad_job_is_found_and_costs_no_other(batcher: MicroBatcher[int, int], batches: Batches) -> None:
    first = block(batcher, batches)
    tickets = batcher.submit([1, -1, 2], "a")
    batches.gate.set()
    one, bad, two = outcomes([ticket.future for ticket in tickets])
    assert (one, two) == (2, 4)
    assert isinstance(bad, EngineError)
    assert first.result() == 0
    assert batches.seen[1:] == [[1, -1, 2], [1], [-1], [2]]


def test_engine_error_of_a_job_is_handed_over_as_it_is() -> None:
    error = EngineError("too long", retryable=False)

    def refuse(tickets: Sequence[Ticket[int, int]]) -> list[int | Exception]:
        raise error

    batcher = MicroBatcher[int, int](refuse, max_batch=4)
    tickets = batcher.submit([1, 2], "a")
    assert outcomes([ticket.future for ticket in tickets]) == [error, error]
    batcher.close()


def test_a_cancelled_job_is_not_run(batcher: MicroBatcher[int, int], batches: Batches) -> None:
    first = block(batcher, batches)
    tickets = batcher.submit([1, 2, 3], "a")
    assert tickets[1].future.cancel()
    batches.gate.set()
    assert outcomes([first, tickets[0].future, tickets[2].future]) == [0, 2, 6]
    assert batches.seen == [[0], [1, 3]]


def test_cancelling_a_running_job_tells_its_runner(batcher: MicroBatcher[int, int], batches: Batches) -> None:
    batches.gate.clear()
    batches.started.clear()
    (ticket,) = batcher.submit([1], "a")
    assert batches.started.wait(WAIT_S)
    assert ticket.future.cancel()
    assert ticket.cancelled
    batches.gate.set()
    (later,) = batcher.submit([2], "a")
    assert outcomes([later.future]) == [4]


def test_closing_stops_what_runs_and_fails_what_waits() -> None:
    started = threading.Event()

    def until_cancelled(tickets: Sequence[Ticket[int, int]]) -> list[Any]:
        started.set()
        while not tickets[0].cancelled:
            threading.Event().wait(0.005)
        return [1 for _ in tickets]

    batcher = MicroBatcher[int, int](until_cancelled, max_batch=1)
    running, waiting = batcher.submit([1, 2], "a")
    assert started.wait(WAIT_S)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    closing.join(WAIT_S)
    stuck = closing.is_alive()
    running.future.cancel()  # lets the worker of a failed test end
    assert not stuck
    assert isinstance(waiting.future.exception(0), EngineDeadError)
    # Never what it returned: a row that was told to stop holds half an answer.
    assert isinstance(running.future.exception(0), EngineDeadError)


def test_closed_worker_takes_no_jobs(batches: Batches) -> None:
    batcher = MicroBatcher[int, int](batches, max_batch=4)
    assert batcher.alive
    batcher.close()
    assert not batcher.alive
    with pytest.raises(EngineDeadError, match="not running"):
        batcher.submit([1], "a")
