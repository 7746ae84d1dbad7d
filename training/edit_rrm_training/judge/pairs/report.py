"""From groups and scores to a report: accuracy, ties, what was not scored, per kind of edit and dimension. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.comparison import Judged, Ties, by, mean_over_categories, summary
from edit_rrm_training.judge.pairs.grouping import Assembled, Group
from edit_rrm_training.judge.pairs.human_ties import calibrated, human_ties
from edit_rrm_training.judge.pairs.pair import Ranking
from edit_rrm_training.judge.pairs.ranking import rankings

_ROWS_NAMED = 50
"""Dropped rows that a report lists; it counts them all."""


def pairs_report(assembled: Assembled, scores: Mapping[str, Sequence[EditScore]], ties: Ties) -> dict[str, Any]:
    """Everything that is known after a run, ready for JSON.

    Returns:
        `rows` (read, used, dropped by reason, and the first of those dropped by name); `groups` and `edits`;
        `outcomes` of the edits; `ties`; and `pairs`, the summary of all strict preferences (see `comparison.summary`),
        with `by_category`. Where the benchmark has them: `by_dimension`, each a summary with `by_category` and
        `mean_over_categories`; `human_ties`; `rankings`, and `rankings_calibrated` with the threshold for ties that is
        best on the 2-way ones.
    """
    judged: list[Judged] = []
    relations: dict[Ranking, list[Judged]] = {}
    for group in assembled.groups:
        for pair, ranking in _judged(group, scores[group.key]):
            judged.append(pair)
            if ranking is not None:
                relations.setdefault(ranking, []).append(pair)
    strict = [pair for pair in judged if not pair.tied]
    report: dict[str, Any] = {
        "rows": _rows(assembled),
        "groups": len(assembled.groups),
        "edits": sum(len(group.edits) for group in assembled.groups),
        "outcomes": _outcomes(assembled.groups, scores),
        "ties": ties.value,
        "pairs": _with_categories(strict, ties),
    }
    dimensions = sorted({pair.dimension for pair in strict if pair.dimension is not None})
    if dimensions:
        report["by_dimension"] = {
            name: _with_categories([pair for pair in strict if pair.dimension == name], ties) for name in dimensions
        }
    if len(strict) < len(judged):
        report["human_ties"] = human_ties(judged)
    if relations:
        report["rankings"] = rankings(relations)
        two_way = [pair for ranking, pairs in relations.items() if ranking.size == 2 for pair in pairs]
        threshold = calibrated(two_way)["threshold"]
        if threshold is not None and any(pair.tied for pair in two_way):
            # What the published 2-way figures are: the threshold is fitted to the pairs it is then used on.
            report["rankings_calibrated"] = {"threshold": threshold, **rankings(relations, threshold)}
    return report


def _judged(group: Group, scores: Sequence[EditScore]) -> list[tuple[Judged, Ranking | None]]:
    return [
        (
            Judged(
                group.source.digest,
                scores[comparison.better].score,
                scores[comparison.worse].score,
                comparison.tied,
                comparison.category,
                comparison.dimension,
            ),
            comparison.ranking,
        )
        for comparison in group.comparisons
    ]


def _with_categories(pairs: Sequence[Judged], ties: Ties) -> dict[str, Any]:
    found = summary(pairs, ties)
    categories = by(pairs, lambda pair: pair.category, ties)
    if categories:
        found["by_category"] = categories
        found["mean_over_categories"] = mean_over_categories(pairs, ties)
    return found


def _rows(assembled: Assembled) -> dict[str, Any]:
    dropped = Counter(row.reason.value for row in assembled.rejected)
    return {
        "read": assembled.rows,
        "used": assembled.rows - len(assembled.rejected),
        "dropped": dict(sorted(dropped.items())),
        "first_dropped": [
            {"row": row.row, "reason": row.reason.value, "detail": row.detail}
            for row in assembled.rejected[:_ROWS_NAMED]
        ],
    }


def _outcomes(groups: Sequence[Group], scores: Mapping[str, Sequence[EditScore]]) -> dict[str, int]:
    return dict(sorted(Counter(score.outcome.value for group in groups for score in scores[group.key]).items()))
