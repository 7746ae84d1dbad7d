"""A load on a service, and what became of every group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edit_rrm.verdicts import Mode, Outcome, Usage
from edit_rrm_client.async_client import AsyncRewardClient
from edit_rrm_client.bench.arrivals import Arrivals, Bursts, Closed, Open
from edit_rrm_client.group import Group


@dataclass(frozen=True, slots=True)
class Served:
    """What became of one group. Seconds count from the load's start."""

    due: float
    """When it was to be sent."""
    ended: float
    outcomes: tuple[Outcome, ...]
    """Of its edits."""
    usage: Usage
    attempts: int

    @property
    def latency(self) -> float:
        """Seconds from when it was due to its answer."""
        return self.ended - self.due

    @property
    def scored(self) -> int:
        """Edits that were."""
        return sum(outcome is Outcome.SCORED for outcome in self.outcomes)


async def put_under_load(
    client: AsyncRewardClient,
    groups: Sequence[Group],
    arrivals: Arrivals,
    *,
    mode: Mode = Mode.THINK,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Served]:
    """Have groups judged, and note when each was due and when it was back.

    Args:
        client: With room for as many requests as the arrivals have under way.
        groups: In the order they are sent.
        arrivals: When.
        mode: How they are judged.
        progress: Is told how many are back.

    Returns:
        One for every group, in their order.

    Raises:
        RewardClientError: Nothing can be measured: nobody answers, or the key is refused.
    """
    began, back = time.monotonic(), 0

    def now() -> float:
        return time.monotonic() - began

    async def judged(group: Group, due: float) -> Served:
        nonlocal back
        served = await _judged(client, group, due, began, mode)
        back += 1
        progress(back)
        return served

    async def at(group: Group, due: float) -> Served:
        await asyncio.sleep(max(0.0, due - now()))
        return await judged(group, due)

    match arrivals:
        case Closed(in_flight):
            room = asyncio.Semaphore(in_flight)

            async def in_turn(group: Group) -> Served:
                async with room:
                    return await judged(group, now())

            return await _all([in_turn(group) for group in groups])
        case Open():
            return await _all([at(*one) for one in zip(groups, arrivals.due(len(groups)), strict=True)])
        case Bursts(size):
            served: list[Served] = []
            for first in range(0, len(groups), size):
                due = now()
                served += await _all([judged(group, due) for group in groups[first : first + size]])
            return served


async def trickle(
    client: AsyncRewardClient,
    make: Callable[[int], Group],
    arrivals: Open,
    until: asyncio.Event,
    *,
    mode: Mode = Mode.THINK,
) -> list[Served]:
    """Have groups judged that come now and then, beside another load.

    Args:
        client: Another one than the load's, for its own priority.
        make: Makes the group of a number.
        arrivals: When they come, over and over.
        until: Set when no more are to come; those under way are waited for.
        mode: How they are judged.

    Raises:
        RewardClientError: As `put_under_load`.
    """
    began = time.monotonic()
    tasks: list[asyncio.Task[Served]] = []
    due = 0.0
    async with asyncio.TaskGroup() as together:
        while True:
            number = len(tasks)
            (pause,) = arrivals.due(1, seed=number)
            due += pause
            group = await asyncio.to_thread(make, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), max(0.0, began + due - time.monotonic()))
            if until.is_set():
                break
            tasks.append(together.create_task(_judged(client, group, due, began, mode)))
    return [task.result() for task in tasks]


async def _judged(client: AsyncRewardClient, group: Group, due: float, began: float, mode: Mode) -> Served:
    found = await client.rewards(group.instruction, group.source, group.edited, principles=group.principles, mode=mode)
    return Served(due, time.monotonic() - began, found.outcomes, found.usage, found.attempts)


async def _all(work: Sequence[Coroutine[Any, Any, Served]]) -> list[Served]:
    """All of them; where one fails, the others are given up."""
    try:
        async with asyncio.TaskGroup() as together:
            tasks = [together.create_task(one) for one in work]
    except* Exception as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
