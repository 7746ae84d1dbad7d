"""Edits that are asked for one at a time travel in groups, and none has to pay for another."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from PIL import Image

from edit_rrm_client import InvalidImageError
from edit_rrm_client.adapters.coalesce import Coalescer
from tests.client.adapters.async_scorer import AsyncRednessScorer

LONG_S = 60.0
"""Longer than a test may take: what waits for it did not have to."""


def source() -> Image.Image:
    """Equal, but never the same object, as after a trip through another process."""
    return Image.new("RGB", (16, 16), "white")


def edit(tenth: int) -> Image.Image:
    return Image.new("RGB", (16, 16), (round(tenth * 25.5), 0, 0))


async def test_edits_of_one_source_and_instruction_travel_together() -> None:
    client = AsyncRednessScorer()
    coalescer = Coalescer(client, within_s=0.2)
    asked = [("redder", tenth) for tenth in range(1, 6)] + [("red", tenth) for tenth in range(6, 9)]
    found = await asyncio.gather(*(coalescer.judge(words, source(), edit(tenth)) for words, tenth in asked))
    assert [one.result.reward for one in found] == [tenth / 10 for _, tenth in asked]
    assert sorted(len(group.edited) for group in client.asked) == [3, 5]
    assert sorted(one.place for one in found[:5]) == list(range(5))


async def test_a_full_group_waits_for_nobody() -> None:
    client = AsyncRednessScorer()
    coalescer = Coalescer(client, size=3, within_s=LONG_S)
    found = await asyncio.gather(*(coalescer.judge("red", source(), edit(tenth)) for tenth in range(1, 7)))
    assert [one.result.reward for one in found] == [tenth / 10 for tenth in range(1, 7)]
    assert [len(group.edited) for group in client.asked] == [3, 3]


async def test_what_comes_later_is_asked_for_later() -> None:
    client = AsyncRednessScorer()
    coalescer = Coalescer(client, within_s=0.0)
    for tenth in (1, 2):
        assert (await coalescer.judge("red", source(), edit(tenth))).result.reward == tenth / 10
    assert [len(group.edited) for group in client.asked] == [1, 1]


async def test_an_image_that_cannot_be_sent_costs_nobody_else() -> None:
    client = AsyncRednessScorer()
    coalescer = Coalescer(client, within_s=0.1)
    bad = np.full((3, 16, 16), np.nan, np.float32)
    found = await asyncio.gather(
        coalescer.judge("red", source(), edit(4)), coalescer.judge("red", source(), bad), return_exceptions=True
    )
    assert isinstance(found[1], InvalidImageError)
    assert not isinstance(found[0], BaseException)
    assert found[0].result.reward == 0.4


async def test_one_that_is_cancelled_leaves_the_others_alone() -> None:
    client = AsyncRednessScorer(takes_s=0.05)
    coalescer = Coalescer(client, size=2, within_s=LONG_S)
    stays, goes = (asyncio.create_task(coalescer.judge("red", source(), edit(tenth))) for tenth in (3, 5))
    await client.began.wait()
    goes.cancel()
    assert (await stays).result.reward == 0.3
    assert goes.cancelled()
    assert client.given_up == 0


async def test_where_all_are_cancelled_so_is_the_request() -> None:
    client = AsyncRednessScorer(takes_s=LONG_S)
    coalescer = Coalescer(client, size=2, within_s=LONG_S)
    tasks = [asyncio.create_task(coalescer.judge("red", source(), edit(tenth))) for tenth in (3, 5)]
    await client.began.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert client.given_up == 1


def test_it_is_at_home_in_one_loop_after_another() -> None:
    """The first loop ends while an edit still waits for others."""
    coalescer = Coalescer(AsyncRednessScorer(), size=2, within_s=LONG_S)

    async def given_up() -> None:
        task = asyncio.create_task(coalescer.judge("red", source(), edit(1)))
        await asyncio.sleep(0.05)
        task.cancel()

    async def judged() -> float | None:
        found = await asyncio.gather(*(coalescer.judge("red", source(), edit(tenth)) for tenth in (2, 3)))
        return found[1].result.reward

    asyncio.run(given_up())
    assert asyncio.run(judged()) == 0.3


@pytest.mark.parametrize(("size", "within_s"), [(0, 0.1), (129, 0.1), (4, -1.0)])
def test_groups_that_are_none(size: int, within_s: float) -> None:
    with pytest.raises(ValueError, match="a group has 1 to 128 edits"):
        Coalescer(AsyncRednessScorer(), size=size, within_s=within_s)
