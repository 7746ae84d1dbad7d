"""When groups are sent: so many at a time, at a rate whatever happens, or a step's worth at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np


@dataclass(frozen=True, slots=True)
class Closed:
    """A group is sent when one comes back: throughput, and no more load than the service takes."""

    in_flight: int = 8

    def __post_init__(self) -> None:
        """Refuse none."""
        if self.in_flight < 1:
            raise ValueError("in_flight is at least 1")


@dataclass(frozen=True, slots=True)
class Open:
    """Groups come at a rate, whatever became of those before: what a service's callers together are like.

    Latencies count from when a group was due, so that a service that falls behind is not flattered by a load that
    waits for it (coordinated omission).
    """

    rate: float
    """Groups a second, on average."""

    def __post_init__(self) -> None:
        """Refuse none."""
        if not self.rate > 0.0:
            raise ValueError("rate is greater than 0")

    def due(self, count: int, seed: int = 0) -> list[float]:
        """Seconds from the start at which each group is due: a Poisson process."""
        gaps = np.random.default_rng([3, seed]).exponential(1.0 / self.rate, count)
        return list(accumulate(gaps.tolist()))


@dataclass(frozen=True, slots=True)
class Bursts:
    """All groups of a step at once, and the next step's when all are back: GRPO without overlap."""

    groups: int

    def __post_init__(self) -> None:
        """Refuse none."""
        if self.groups < 1:
            raise ValueError("a step has at least 1 group")


Arrivals = Closed | Open | Bursts
