"""Shares with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """A share of counted things, with its 95% interval; all three are None where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None
    hits: int
    total: int


def wilson(hits: int, total: int) -> Share:
    """Share of independent trials with Wilson's 95% score interval (Wilson 1927)."""
    if total == 0:
        return Share(None, None, None, 0, 0)
    share = hits / total
    denominator = 1 + _Z95**2 / total
    centre = (share + _Z95**2 / (2 * total)) / denominator
    half = _Z95 * math.sqrt(share * (1 - share) / total + _Z95**2 / (4 * total**2)) / denominator
    return Share(share, max(0.0, centre - half), min(1.0, centre + half), hits, total)


def clustered(clusters: Sequence[tuple[int, int]]) -> Share:
    """Share of hits where trials come in clusters, such as the verdicts on one edit.

    The interval uses the linearised variance of a ratio of cluster sums (Cochran 1977, section 6.3), so that verdicts
    which stand and fall together do not count as independent evidence.

    Args:
        clusters: (hits, trials) of each cluster.
    """
    hits = sum(hit for hit, _ in clusters)
    total = sum(trials for _, trials in clusters)
    count = len(clusters)
    if total == 0:
        return Share(None, None, None, 0, 0)
    share = hits / total
    if count < 2:
        return Share(share, 0.0, 1.0, hits, total)
    residuals = sum((hit - share * trials) ** 2 for hit, trials in clusters)
    error = math.sqrt(count / (count - 1) * residuals) / total
    return Share(share, max(0.0, share - _Z95 * error), min(1.0, share + _Z95 * error), hits, total)
