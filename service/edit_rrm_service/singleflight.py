"""Single flight: callers with the same key share one piece of work, and its result for as long as it is remembered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares work by key, within one event loop. Failures are never remembered."""

    def __init__(self, remembered: int = 0) -> None:
        """Remember the results of this many keys, those used last."""
        self._capacity = remembered
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._running: dict[Hashable, tuple[asyncio.Task[T], list[int]]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result of `work`, and whether somebody else's work it is.

        A caller that is cancelled leaves; the work itself is cancelled only when its last caller has left.
        """
        if key in self._results:
            self._results.move_to_end(key)
            return self._results[key], True
        entry = self._running.get(key)
        shared = entry is not None
        if entry is None:
            task = asyncio.ensure_future(_call(work))
            entry = (task, [0])
            self._running[key] = entry
            task.add_done_callback(lambda finished: self._forget(key, finished))
        task, waiters = entry
        waiters[0] += 1
        try:
            return await asyncio.shield(task), shared
        finally:
            waiters[0] -= 1
            if waiters[0] == 0 and not task.done():
                self._forget(key, task)
                task.cancel()

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        """Drop a key unless newer work has taken it over, and remember what came of it."""
        entry = self._running.get(key)
        if entry is None or entry[0] is not task:
            return
        del self._running[key]
        if self._capacity and task.done() and not task.cancelled() and task.exception() is None:
            self._results[key] = task.result()
            if len(self._results) > self._capacity:
                self._results.popitem(last=False)


async def _call(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
