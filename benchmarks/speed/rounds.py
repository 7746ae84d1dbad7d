"""Contenders in turns, and their ratios within a round, where the machine was the same. Pure.

Machines that are shared are a third faster in one minute than in the next. Every round therefore has all contenders
judge, one after the other, and what is reported is the median over rounds of the ratio within a round.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Over rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What rounds say."""

    rates: dict[str, Spread]
    """Rewards a second, by contender."""
    ratios: dict[str, Spread]
    """What the first contender does beside each of the others."""


def compared(rounds: Sequence[Mapping[str, float]]) -> Comparison:
    """Sum up rounds.

    Args:
        rounds: Rewards a second by contender, in each round; the first named is what others are compared with.

    Raises:
        ValueError: There are none, or not all have the same contenders.
    """
    if not rounds or any(list(one) != list(rounds[0]) for one in rounds):
        raise ValueError("rounds are of the same contenders, and at least one")
    first, *others = rounds[0]
    return Comparison(
        rates={name: Spread.of([one[name] for one in rounds]) for name in rounds[0]},
        ratios={name: Spread.of([one[first] / one[name] for one in rounds]) for name in others},
    )
