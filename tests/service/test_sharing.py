"""Work on the same thing is shared, and stops when nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from edit_rrm_service.singleflight import SingleFlight
from tests.fakes.engine import FakeEngine
from tests.service.running import png, post, running


async def test_edits_of_one_source_share_one_decomposition_however_they_come() -> None:
    engine = FakeEngine(seconds=0.02)
    async with running(engine) as client:
        replies = await asyncio.gather(*(post(client, edited=png("blue", (64 + n, 64))) for n in range(8)))
        later = await post(client)
        assert engine.decompositions == 1
        await post(client, instruction="something else")
        await post(client, source=png("green"))
    assert {reply.status_code for reply in (*replies, later)} == {200}
    assert engine.decompositions == 3
    calls = sorted(reply.json()["usage"]["engine_calls"] for reply in replies)
    assert calls == [1] * 7 + [2]


async def test_principles_that_were_sent_are_used_as_they_are() -> None:
    engine = FakeEngine(judgement=lambda prompt: "verdicts: 1\n<score>8</score>")
    async with running(engine) as client:
        principle = {"question": "Is it bluer?", "category": "instruction_following"}
        body = (await post(client, principles=[principle])).json()
    assert engine.decompositions == 0
    assert [verdict["principle"] for verdict in body["verdicts"]] == [principle]


async def test_callers_share_running_work_and_remembered_results() -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return calls

    flight: SingleFlight[int] = SingleFlight(remembered=2)
    together = await asyncio.gather(*(flight.run("a", work) for _ in range(5)))
    assert [value for value, _ in together] == [1] * 5
    assert sum(not shared for _, shared in together) == 1
    assert await flight.run("a", work) == (1, True)
    await flight.run("b", work)
    await flight.run("a", work)
    await flight.run("c", work)
    assert await flight.run("a", work) == (1, True)
    assert await flight.run("b", work) == (4, False)


async def test_without_memory_finished_work_is_done_again() -> None:
    flight: SingleFlight[int] = SingleFlight()
    results = iter((1, 2))

    async def work() -> int:
        return next(results)

    assert [await flight.run("a", work), await flight.run("a", work)] == [(1, False), (2, False)]


async def test_a_failure_reaches_every_caller_and_is_forgotten() -> None:
    flight: SingleFlight[int] = SingleFlight(remembered=4)
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
