"""The selector: which candidate of a row is kept. Plain code, no model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that parsed."""

    index: int
    """Its place among all candidates of the row, the unparsable ones counted."""
    passed: tuple[bool, ...]
    """One verdict per principle."""
    score: float
    """In [0, 10]."""

    @property
    def average(self) -> float:
        """Mean of the verdicts, in [0, 1]."""
        return sum(self.passed) / len(self.passed)


def agreement(passed: Sequence[bool], gold: Sequence[bool]) -> int:
    """How many verdicts equal gold.

    Raises:
        ValueError: They are not equally many.
    """
    return sum(verdict == truth for verdict, truth in zip(passed, gold, strict=True))


def select(candidates: Sequence[Candidate], gold: Sequence[bool]) -> Candidate | None:
    """The candidate with most verdicts equal to gold; then by higher average, higher score, lower index.

    Returns:
        One of the candidates, whatever their order; None where there is none.

    Raises:
        ValueError: A candidate has another number of verdicts than gold.
    """
    return max(
        candidates,
        key=lambda item: (agreement(item.passed, gold), sum(item.passed), item.score, -item.index),
        default=None,
    )


def first(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate of the lowest index: what is kept without a verifier."""
    return min(candidates, key=lambda item: item.index, default=None)
