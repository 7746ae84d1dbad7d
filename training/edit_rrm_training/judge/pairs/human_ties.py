"""Pairs that people call equally good: what a judge with real-valued scores can and cannot say about them. Pure.

Scores are almost never exactly equal, so such a pair is right only for a judge that rounds. Published tables get round
this by calling scores within a threshold equal, and choose the threshold on the benchmark itself (tie calibration,
Deutsch et al. 2023, arXiv 2305.14324). That figure is here for comparison with theirs; it flatters, because it is
fitted to the data it is measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import Any

from edit_rrm_training.judge.intervals import Share, clustered
from edit_rrm_training.judge.pairs.comparison import Judged, Standing


def human_ties(pairs: Sequence[Judged]) -> dict[str, Any]:
    """What to report where some of the pairs are ties to people.

    Args:
        pairs: All pairs, ties and preferences.

    Returns:
        `pairs` that people call tied and how many of those are `unscored`; `agreed`, the share of them with equal
        scores; `accuracy_with_ties` over all pairs, where a tie is right if the scores are equal; and `calibrated`, the
        same with the threshold that is best on these very pairs.
    """
    ties = [pair for pair in pairs if pair.tied]
    return {
        "pairs": len(ties),
        "unscored": sum(pair.standing is Standing.UNSCORED for pair in ties),
        "agreed": asdict(_agreement(ties)),
        "accuracy_with_ties": asdict(_agreement(pairs)),
        "calibrated": calibrated(pairs),
    }


def calibrated(pairs: Sequence[Judged]) -> dict[str, float | None]:
    """The best accuracy that any threshold gives under which scores count as equal.

    Returns:
        `threshold`, the smallest of the best ones, in points of score, and `accuracy`; both None without scored pairs.
    """
    scored = sorted(
        (abs(pair.better - pair.worse), pair.tied, pair.better > pair.worse)
        for pair in pairs
        if pair.better is not None and pair.worse is not None
    )
    if not scored:
        return {"threshold": None, "accuracy": None}
    # Raising the threshold past a pair makes it a tie: right if people tied it, no longer right if they did not.
    right = sum(agrees and not tied for _, tied, agrees in scored)
    by_threshold = {0.0: right}
    for gap, pairs_of_gap in groupby(scored, key=itemgetter(0)):
        right += sum(1 if tied else -int(agrees) for _, tied, agrees in pairs_of_gap)
        by_threshold[gap] = right
    threshold, best = max(by_threshold.items(), key=lambda found: (found[1], -found[0]))
    return {"threshold": threshold, "accuracy": best / len(scored)}


def _agreement(pairs: Sequence[Judged]) -> Share:
    clusters: dict[str, list[bool]] = {}
    for pair in pairs:
        standing = pair.standing
        if standing is not Standing.UNSCORED:
            clusters.setdefault(pair.source, []).append(standing is (Standing.TIED if pair.tied else Standing.RIGHT))
    return clustered([(sum(rights), len(rights)) for rights in clusters.values()])
