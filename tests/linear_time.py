"""Holds a reader of text to time linear in the text, however busy the machine and the process are."""

from __future__ import annotations

import time
from collections.abc import Callable

SMALL, LARGE = 12_000, 192_000
"""Characters."""
_GROWTH = 4 * LARGE / SMALL
"""Quadratic time would grow 256-fold; linear grows 16-fold, and a busy machine is granted four times that."""
_UNMEASURABLE_S = 0.15
"""Below this no growth is looked for: a few milliseconds are the machine's as much as the reader's."""


def fastest(call: Callable[[], object]) -> float:
    """CPU seconds of this thread alone (other tests' threads may still be at work), the least of three readings."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        call()
        best = min(best, time.thread_time() - began)
    return best


def assert_linear(read: Callable[[str], object], piece: str) -> None:
    """`read` takes time linear in the length of a text that repeats `piece`."""

    def seconds(size: int) -> float:
        text = (piece * size)[:size]
        return fastest(lambda: read(text))

    small, large = seconds(SMALL), seconds(LARGE)
    assert large < max(_GROWTH * small, _UNMEASURABLE_S), f"{small * 1e3:.2f} ms grew to {large * 1e3:.2f} ms"
