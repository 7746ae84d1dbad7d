"""Accuracy on pairs, from scores alone: what is right, what is a tie, and what was never measured. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edit_rrm_training.judge.intervals import Share, clustered, mean_of_shares


class Ties(StrEnum):
    """What a pair counts whose edits got the same score."""

    WRONG = "wrong"
    """A miss, as EditScore's benchmark has it: a judge that cannot tell has not told."""
    HALF = "half"
    """Half a hit: what tossing a coin would give."""
    DROP = "drop"
    """Nothing; accuracy is over the pairs that the judge told apart."""


class Standing(StrEnum):
    """How a judge's scores stand to a preference."""

    RIGHT = "right"
    WRONG = "wrong"
    TIED = "tied"
    UNSCORED = "unscored"
    """An edit has no score, so there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One preference and the scores of its edits."""

    source: str
    """Digest of the source image: pairs that share it are one cluster."""
    better: float | None
    """Score of the edit that people prefer, in [0, 10]; None where it was not scored."""
    worse: float | None
    tied: bool = False
    """People call the two equally good."""
    category: str | None = None
    dimension: str | None = None

    @property
    def standing(self) -> Standing:
        """How the scores stand to the preference; for a pair that people call tied, `RIGHT` has no meaning."""
        if self.better is None or self.worse is None:
            return Standing.UNSCORED
        if self.better == self.worse:
            return Standing.TIED
        return Standing.RIGHT if self.better > self.worse else Standing.WRONG


def accuracy(pairs: Iterable[Judged], ties: Ties) -> Share:
    """Share of preferences that the scores agree with, over the pairs with two scores.

    The interval is clustered by source image: several pairs of one source are not independent evidence.
    """
    return _share(pairs, _worth(ties))


def summary(pairs: Sequence[Judged], ties: Ties) -> dict[str, Any]:
    """Counts of a set of strict preferences, and its accuracy.

    Returns:
        `pairs`, and how many are `right`, `wrong`, `tied` and `unscored`; `accuracy` over the scored ones; and
        `accuracy_unscored_wrong`, over all of them, so that a judge cannot look better by not answering.
    """
    counts = Counter(pair.standing for pair in pairs)
    return {
        "pairs": len(pairs),
        **{standing.value: counts[standing] for standing in Standing},
        "accuracy": asdict(accuracy(pairs, ties)),
        "accuracy_unscored_wrong": asdict(_share(pairs, {**_worth(ties), Standing.UNSCORED: 0})),
    }


def by(pairs: Iterable[Judged], key: Callable[[Judged], str | None], ties: Ties) -> dict[str, dict[str, Any]]:
    """A summary of every part that a key divides the pairs into; those without a key are in none."""
    parts: dict[str, list[Judged]] = {}
    for pair in pairs:
        name = key(pair)
        if name is not None:
            parts.setdefault(name, []).append(pair)
    return {name: summary(part, ties) for name, part in sorted(parts.items())}


def mean_over_categories(pairs: Sequence[Judged], ties: Ties) -> dict[str, Any]:
    """Unweighted mean of the categories' accuracies, as EditScore's benchmark averages its task types.

    Returns:
        The mean with its interval, how many `categories` it is over, and how many had no pair to count.
    """
    parts: dict[str, list[Judged]] = {}
    for pair in pairs:
        if pair.category is not None:
            parts.setdefault(pair.category, []).append(pair)
    shares = [accuracy(part, ties) for part in parts.values()]
    counted = [share for share in shares if share.value is not None]
    mean = asdict(mean_of_shares(counted))
    return {**mean, "categories": len(counted), "categories_without_scores": len(shares) - len(counted)}


def _worth(ties: Ties) -> dict[Standing, float]:
    tied: dict[Ties, dict[Standing, float]] = {
        Ties.WRONG: {Standing.TIED: 0},
        Ties.HALF: {Standing.TIED: 0.5},
        Ties.DROP: {},
    }
    return {Standing.RIGHT: 1, Standing.WRONG: 0, **tied[ties]}


def _share(pairs: Iterable[Judged], worth: dict[Standing, float]) -> Share:
    clusters: dict[str, list[float]] = {}
    for pair in pairs:
        standing = pair.standing
        if standing in worth:
            clusters.setdefault(pair.source, []).append(worth[standing])
    return clustered([(sum(worths), len(worths)) for worths in clusters.values()])
