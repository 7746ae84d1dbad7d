"""The limit follows 429 and nothing else; the gate never lets more through, and loses nobody."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_client.concurrency import Aimd, Gate


def test_it_grows_quickly_until_it_is_told_and_slowly_after() -> None:
    aimd = Aimd(64)
    assert aimd.limit == 8
    for _ in range(40):
        aimd.answered(aimd.limit)
    assert aimd.limit == 48
    aimd.refused(sent=1.0, now=2.0)
    assert aimd.limit == 24
    for _ in range(24):
        aimd.answered(aimd.limit)
    assert 24 <= aimd.limit <= 25


def test_refusals_of_one_burst_count_once() -> None:
    aimd = Aimd(64, first=64)
    for _ in range(30):
        aimd.refused(sent=1.0, now=2.0)
    assert aimd.limit == 32
    aimd.refused(sent=2.5, now=3.0)
    assert aimd.limit == 16


def test_a_limit_that_is_not_used_up_does_not_grow() -> None:
    aimd = Aimd(64)
    for _ in range(100):
        aimd.answered(2)
    assert aimd.limit == 8


@given(st.integers(1, 50), st.lists(st.booleans(), max_size=200))
def test_it_stays_between_one_and_the_most(most: int, events: list[bool]) -> None:
    aimd = Aimd(most)
    for now, good in enumerate(events):
        if good:
            aimd.answered(aimd.limit)
        else:
            aimd.refused(float(now), now + 0.5)
        assert 1 <= aimd.limit <= most
    with pytest.raises(ValueError, match="at least one"):
        Aimd(0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 6))
async def test_never_more_than_the_limit_and_everybody_gets_through(fates: list[int], most: int) -> None:
    """Some of those who wait are cancelled, before or after it was their turn."""
    gate = Gate(Aimd(most, first=most))
    through = 0
    highest = 0

    async def visit(steps: int) -> None:
        nonlocal through, highest
        await gate.enter()
        highest = max(highest, gate.under_way)
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            through += 1
        finally:
            gate.leave()

    tasks = [asyncio.ensure_future(visit(fate)) for fate in fates]
    for number, task in enumerate(tasks):
        if fates[number] == 3:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=5.0)
    assert highest <= most
    assert gate.under_way == 0
    assert through >= sum(fate != 3 for fate in fates)
