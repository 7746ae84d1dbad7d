"""Work on a stream: several items at a time, results in the stream's order, and an end when nobody answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from hashlib import sha256
from typing import TypeVar

from edit_rrm_training.judge.cold_start.errors import UnavailableError, UnreachableError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

GIVE_UP_AFTER = 3
"""Rows in a row without an answer, each after its own retries, that end a run."""


async def in_order(
    items: Iterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], window: int
) -> AsyncGenerator[tuple[ItemT, ResultT | UnavailableError], None]:
    """Work on up to `window` items at a time and yield (item, result) in the items' order.

    In order, so that files come out the same however long single answers took. Items are drawn from the stream only
    as there is room. An `UnavailableError` is a result; any other exception ends it all.
    """
    pending: deque[tuple[ItemT, asyncio.Task[ResultT | UnavailableError]]] = deque()

    async def guarded(item: ItemT) -> ResultT | UnavailableError:
        try:
            return await work(item)
        except UnavailableError as error:
            return error

    try:
        for item in items:
            pending.append((item, asyncio.create_task(guarded(item))))
            # Lets tasks start before the next item is read: reading blocks, and requests can be under way meanwhile.
            await asyncio.sleep(0)
            if len(pending) >= window:
                first, task = pending.popleft()
                yield first, await task
        while pending:
            first, task = pending.popleft()
            yield first, await task
    finally:
        for _, task in pending:
            task.cancel()
        await asyncio.gather(*(task for _, task in pending), return_exceptions=True)


class Patience:
    """Counts rows without an answer, and ends the run where there are only such."""

    def __init__(self) -> None:
        self._streak = 0
        self._answers = 0
        self._last: UnavailableError | None = None

    def answered(self) -> None:
        """An answer came, of whatever kind."""
        self._streak = 0
        self._answers += 1

    def missed(self, error: UnavailableError) -> None:
        """No answer came.

        Raises:
            UnreachableError: None did for the last `GIVE_UP_AFTER` rows.
        """
        self._streak += 1
        self._last = error
        if self._streak >= GIVE_UP_AFTER:
            raise _gone(error)

    def conclude(self) -> None:
        """Call at the end.

        Raises:
            UnreachableError: There were questions, and not one answer.
        """
        if self._last is not None and self._answers == 0:
            raise _gone(self._last)


def seed_for(seed: int, *pieces: str | int) -> int:
    """A seed below 2**31 for one question; the same pieces give the same one, on any machine."""
    digest = sha256("/".join(map(str, (seed, *pieces))).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _gone(error: UnavailableError) -> UnreachableError:
    return UnreachableError(f"{error}; finished rows are kept: run the same command again to go on")
