"""A clock that moves when told to."""

from __future__ import annotations


class Stopwatch:
    """Satisfies what takes a clock."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now
