"""Single flight: work on the same thing is shared, and stops when nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from edit_rrm_service.singleflight import SingleFlight


async def test_callers_share_running_work() -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return calls

    flight: SingleFlight[int] = SingleFlight()
    together = await asyncio.gather(*(flight.run("a", work) for _ in range(5)), flight.run("b", work))
    assert [value for value, _ in together] == [2] * 5 + [2]
    assert sum(not shared for _, shared in together) == 2


async def test_finished_work_is_done_again() -> None:
    flight: SingleFlight[int] = SingleFlight()
    results = iter((1, 2))

    async def work() -> int:
        return next(results)

    assert [await flight.run("a", work), await flight.run("a", work)] == [(1, False), (2, False)]


async def test_a_failure_reaches_every_caller_and_is_forgotten() -> None:
    flight: SingleFlight[int] = SingleFlight()
    outcomes = iter((ValueError("no"), 7))

    async def work() -> int:
        await asyncio.sleep(0.01)
        outcome = next(outcomes)
        if isinstance(outcome, ValueError):
            raise outcome
        return outcome

    failed = await asyncio.gather(*(flight.run("a", work) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in failed] == ["no"] * 3
    assert await flight.run("a", work) == (7, False)


async def test_work_stops_when_its_last_caller_leaves_and_not_before() -> None:
    cancelled = asyncio.Event()

    async def work() -> int:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return 1

    flight: SingleFlight[int] = SingleFlight()
    first, second = (asyncio.ensure_future(flight.run("a", work)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not cancelled.is_set()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_whoever_comes_after_the_last_caller_left_gets_work_of_its_own() -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        mine = calls
        await asyncio.sleep(30 if mine == 1 else 0.01)
        return mine

    flight: SingleFlight[int] = SingleFlight()
    first = asyncio.ensure_future(flight.run("a", work))
    await asyncio.sleep(0.01)
    first.cancel()
    second = asyncio.ensure_future(flight.run("a", work))
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 5) == (2, False)
