"""Windows read, judged and written at the same time, so that the service never waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pyarrow as pa

from edit_rrm_client.bulk.judging import give_up

AHEAD = 2
"""Windows under way at a time; the next one is being read meanwhile."""


async def pipeline(
    windows: Iterator[pa.Table],
    judge: Callable[[pa.Table], Coroutine[Any, Any, pa.Table]],
    commit: Callable[[pa.Table], None],
    *,
    ahead: int = AHEAD,
) -> None:
    """Judge every window and commit what comes of it, as it comes.

    Never more than `ahead` windows and the one that is being read are held.

    Args:
        windows: Read in a thread, one at a time.
        judge: From a window to its results.
        commit: Called in a thread, one at a time.
        ahead: Windows under way at a time.

    Raises:
        Exception: The first that `windows`, `judge` or `commit` raises. What is under way then is given up; what was
            committed stays.
    """
    under_way: set[asyncio.Task[pa.Table]] = set()
    reading: asyncio.Task[pa.Table | None] | None = _read(windows)
    try:
        while reading is not None or under_way:
            waited = {*under_way, *({reading} if reading is not None and len(under_way) < ahead else ())}
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if reading in done:
                assert reading is not None, "it was waited for"
                window = reading.result()
                if window is None:
                    reading = None
                else:
                    under_way.add(asyncio.create_task(judge(window)))
                    reading = _read(windows)
                del window
            for task in done & under_way:
                under_way.discard(task)
                await asyncio.to_thread(commit, task.result())
            done.clear()  # or a window's images would be held until the next one is there
    finally:
        await give_up([*under_way, *([reading] if reading is not None else [])])


def _read(windows: Iterator[pa.Table]) -> asyncio.Task[pa.Table | None]:
    return asyncio.ensure_future(asyncio.to_thread(next, windows, None))
