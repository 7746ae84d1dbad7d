"""Shares with honest intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """A share of counted things, with its 95% interval; all three are None where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None
    hits: float
    """A whole number, but where a tie counts as half a hit."""
    total: int


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean difference of paired measurements, with its 95% interval, and both means."""

    before: float
    after: float
    value: float
    low: float
    high: float
    total: int
    """Pairs."""


def paired_gain(before: Sequence[float], after: Sequence[float]) -> Gain:
    """What changed between two measurements of the same things, with the differences' 95% interval, by the normal law.

    Raises:
        ValueError: There are fewer than two pairs, or not as many of one as of the other.
    """
    differences = [later - earlier for earlier, later in zip(before, after, strict=True)]
    count = len(differences)
    if count < 2:
        raise ValueError("a gain needs at least two pairs")
    mean = math.fsum(differences) / count
    half = _Z95 * statistics.stdev(differences) / math.sqrt(count)
    return Gain(math.fsum(before) / count, math.fsum(after) / count, mean, mean - half, mean + half, count)


def wilson(hits: int, total: int) -> Share:
    """Share of independent trials with Wilson's 95% score interval (Wilson 1927)."""
    if total == 0:
        return Share(None, None, None, 0, 0)
    share = hits / total
    return Share(share, *score_interval(share, total), hits, total)


def clustered(clusters: Sequence[tuple[float, int]]) -> Share:
    """Share of hits where trials come in clusters, such as the verdicts on one edit.

    The interval is Wilson's for the effective number of trials (Korn and Graubard 1998): as many independent ones as
    would give the linearised variance of a ratio of cluster sums (Cochran 1977, section 6.3). Verdicts which stand and
    fall together so do not count as independent evidence, and a perfect record still leaves the doubt that it should,
    where the variance alone would be zero and so would the interval's width.

    Args:
        clusters: (hits, trials) of each cluster.
    """
    found = [(hits, trials) for hits, trials in clusters if trials]
    hits = sum(hit for hit, _ in found)
    total = sum(trials for _, trials in found)
    if total == 0:
        return Share(None, None, None, 0, 0)
    share = hits / total
    if len(found) < 2:
        return Share(share, 0.0, 1.0, hits, total)
    return Share(share, *score_interval(share, _effective(found, share, total)), hits, total)


def mean_of_shares(shares: Sequence[Share]) -> Share:
    """Unweighted mean of shares of independent parts, such as one per kind of edit.

    The interval combines the parts' own (MOVER, Zou and Donner 2008), so a part without misses still adds its doubt.

    Args:
        shares: Shares that were counted: none of their values is None.
    """
    parts = [
        (share.value, share.low, share.high)
        for share in shares
        if share.value is not None and share.low is not None and share.high is not None
    ]
    assert len(parts) == len(shares), "a mean over shares of nothing"
    if not parts:
        return Share(None, None, None, 0, 0)
    mean = sum(value for value, _, _ in parts) / len(parts)
    below = math.sqrt(sum((value - low) ** 2 for value, low, _ in parts)) / len(parts)
    above = math.sqrt(sum((high - value) ** 2 for value, _, high in parts)) / len(parts)
    hits, total = sum(share.hits for share in shares), sum(share.total for share in shares)
    return Share(mean, max(0.0, mean - below), min(1.0, mean + above), hits, total)


def score_interval(share: float, trials: float) -> tuple[float, float]:
    """Wilson's 95% score interval of a share; `trials` need not be a whole number."""
    denominator = 1 + _Z95**2 / trials
    centre = (share + _Z95**2 / (2 * trials)) / denominator
    half = _Z95 * math.sqrt(share * (1 - share) / trials + _Z95**2 / (4 * trials**2)) / denominator
    # The bounds hold the share exactly; rounding alone can put it outside, by 1e-17 at a share of 0 or 1.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def _effective(clusters: Sequence[tuple[float, int]], share: float, total: int) -> float:
    """How many independent trials the clusters are worth: between some and all of their trials."""
    count = len(clusters)
    residuals = sum((hit - share * trials) ** 2 for hit, trials in clusters)
    variance = count / (count - 1) * residuals / total**2
    if share in (0.0, 1.0):
        # Nothing varied, so nothing tells whether the trials of a cluster are one piece of evidence or many: one.
        return float(count)
    # Clusters that make up for each other have next to no variance; more evidence than trials there cannot be.
    return float(total) if variance == 0.0 else min(float(total), share * (1 - share) / variance)
