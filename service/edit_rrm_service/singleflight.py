"""Single flight: callers with the same key share one piece of work while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares running work by key, within one event loop."""

    def __init__(self) -> None:
        """Start with nothing running."""
        self._running: dict[Hashable, tuple[asyncio.Task[T], list[int]]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result of `work`, and whether somebody else's work it is.

        A caller that is cancelled leaves; the work itself is cancelled only when its last caller has left.
        """
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
        """Drop a key unless newer work has taken it over."""
        entry = self._running.get(key)
        if entry is not None and entry[0] is task:
            del self._running[key]


async def _call(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
