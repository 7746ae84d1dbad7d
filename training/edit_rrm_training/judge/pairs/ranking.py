"""K-way rankings: right when every one of their relations is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edit_rrm_training.judge.intervals import clustered
from edit_rrm_training.judge.pairs.comparison import Judged, Standing
from edit_rrm_training.judge.pairs.pair import Ranking


def rankings(relations: Mapping[Ranking, Sequence[Judged]], threshold: float = 0.0) -> dict[str, dict[str, Any]]:
    """Accuracy of whole rankings, for every K and over `all` of them.

    A relation is right if the scores order its edits as people do, or are equal where people call them tied. Two equal
    scores are never right for edits that people order, whatever ties count among pairs.

    Args:
        relations: The judged pairs of every ranking.
        threshold: How far apart, in points, scores may be that count as equal where people call the edits tied.

    Returns:
        By K, and for `all` (each ranking once, so K with more rankings weighs more): `rankings`, how many are `right`,
        `wrong`, `unscored` (an edit has no score) and `incomplete` (a row of theirs was dropped); and `accuracy` over
        the right and the wrong.
    """
    standings = [
        (ranking.size, pairs[0].source, _standing(ranking, pairs, threshold)) for ranking, pairs in relations.items()
    ]
    sizes = sorted({size for size, _, _ in standings})
    report = {
        str(wanted): _report((source, standing) for size, source, standing in standings if size == wanted)
        for wanted in sizes
    }
    return {**report, "all": _report((source, standing) for _, source, standing in standings)}


def _standing(ranking: Ranking, pairs: Sequence[Judged], threshold: float) -> str:
    if len(pairs) != ranking.relations:
        return "incomplete"
    if any(pair.standing is Standing.UNSCORED for pair in pairs):
        return "unscored"
    return "right" if all(_right(pair, threshold) for pair in pairs) else "wrong"


def _right(pair: Judged, threshold: float) -> bool:
    if pair.better is None or pair.worse is None:
        return False
    return abs(pair.better - pair.worse) <= threshold if pair.tied else pair.better > pair.worse


def _report(standings: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found = list(standings)
    clusters: dict[str, list[bool]] = {}
    for source, standing in found:
        if standing in ("right", "wrong"):
            clusters.setdefault(source, []).append(standing == "right")
    counts = {
        name: sum(standing == name for _, standing in found) for name in ("right", "wrong", "unscored", "incomplete")
    }
    share = clustered([(sum(rights), len(rights)) for rights in clusters.values()])
    return {"rankings": len(found), **counts, "accuracy": asdict(share)}
