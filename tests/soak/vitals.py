"""What a process holds of this machine, over time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

MIB = 2**20


@dataclass(frozen=True)
class Vitals:
    """At one moment."""

    memory: float
    """MiB that would be free without it (unique set size)."""
    handles: int
    threads: int


@dataclass(frozen=True)
class Growth:
    """From the second quarter of a time, when caches and pools are full, to its last."""

    memory: tuple[float, float]
    """MiB, medians."""
    handles: tuple[int, int]
    """Most of each quarter."""
    threads: tuple[int, int]

    @property
    def flat(self) -> bool:
        """Whether it stayed as it was: within 3% and 8 MiB of memory, and a few handles and threads."""
        before, after = self.memory
        return (
            after <= before * 1.03 + 8.0
            and self.handles[1] <= self.handles[0] + 8
            and self.threads[1] <= self.threads[0] + 4
        )

    def __str__(self) -> str:
        memory, handles = self.memory, self.handles
        return f"{memory[0]:,.0f} to {memory[1]:,.0f} MiB, {handles[0]} to {handles[1]} handles"


def vitals_of(process: psutil.Process) -> Vitals:
    """Look at a process."""
    with process.oneshot():
        return Vitals(process.memory_full_info().uss / MIB, process.num_fds(), process.num_threads())


def growth(samples: Sequence[Vitals]) -> Growth:
    """Compare quarters of samples taken at even intervals; at least four."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return Growth(
        (statistics.median(one.memory for one in early), statistics.median(one.memory for one in late)),
        (max(one.handles for one in early), max(one.handles for one in late)),
        (max(one.threads for one in early), max(one.threads for one in late)),
    )
