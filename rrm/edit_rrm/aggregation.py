"""Aggregation: verdicts -> one score in [0, 10].

The paper leaves the final number to the judge (`model`): its appendix has no formula, and says that the score must not
depend on the average alone. The others are ours, for `probe` (which has no written score) and for trainers that want a
formula. Each takes P(yes) per principle, so a hard verdict counts as 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edit_rrm.principles import Category
from edit_rrm.verdicts import SCORE_MAX, Aggregation, Mode, Verdict

DEFAULT_WEIGHTS: Mapping[Category, float] = {
    Category.INSTRUCTION_FOLLOWING: 0.5,
    Category.FEATURE_PRESERVATION: 0.35,
    Category.IMAGE_QUALITY: 0.15,
}
"""Category weights of `weighted`; a category without principles gives its weight to the others."""

DEFAULT_AGGREGATION: Mapping[Mode, Aggregation] = {Mode.THINK: Aggregation.MODEL, Mode.PROBE: Aggregation.GEOMETRIC}
"""What a request gets that names no aggregation."""

_REWARD_DIGITS = 12


def belief(verdict: Verdict) -> float:
    """P(yes) of a verdict in [0, 1]: its probability where the judge gave one, else 0 or 1."""
    return float(verdict.passed) if verdict.probability is None else verdict.probability


def average(verdicts: Sequence[Verdict]) -> float:
    """Plain mean of the hard verdicts in [0, 1] (the paper's `average_score`).

    Raises:
        ValueError: `verdicts` is empty.
    """
    _require(verdicts)
    return sum(verdict.passed for verdict in verdicts) / len(verdicts)


def aggregate(
    verdicts: Sequence[Verdict],
    how: Aggregation,
    *,
    model_score: float | None = None,
    weights: Mapping[Category, float] = DEFAULT_WEIGHTS,
) -> float:
    """Turn verdicts into a score in [0, 10].

    Args:
        verdicts: At least one verdict.
        how: `model` returns `model_score`; `mean` is the mean belief; `weighted` the category-weighted mean;
            `geometric` the geometric mean over category means (one dead category kills the score); `min` the weakest;
            `product` of all beliefs, P(every principle holds) if none depends on another.
        model_score: The score the judge wrote, in [0, 10]; needed by `model` alone.
        weights: Non-negative weight per category, for `weighted`.

    Raises:
        ValueError: No verdicts, no `model_score` where it is needed, or weights that leave nothing to average.
    """
    _require(verdicts)
    if how is Aggregation.MODEL:
        if model_score is None:
            raise ValueError("aggregation 'model' needs the score the judge wrote; use another one for mode 'probe'")
        return model_score
    beliefs = [belief(verdict) for verdict in verdicts]
    if how is Aggregation.MEAN:
        return _score(sum(beliefs) / len(beliefs))
    if how is Aggregation.MIN:
        return _score(min(beliefs))
    if how is Aggregation.PRODUCT:
        return _score(math.prod(beliefs))
    means = category_means(verdicts)
    if how is Aggregation.GEOMETRIC:
        return _score(math.prod(means.values()) ** (1.0 / len(means)))
    total = sum(weights.get(category, 0.0) for category in means)
    if total <= 0.0:
        raise ValueError("the weights of the categories present must add up to more than zero")
    return _score(sum(weights.get(category, 0.0) * mean for category, mean in means.items()) / total)


def reward_of(score: float) -> float:
    """The reward in [0, 1] of a score in [0, 10], rounded to 12 digits: 6.8 is 0.68, not 0.6799999999999999."""
    return round(score / SCORE_MAX, _REWARD_DIGITS)


def category_means(verdicts: Sequence[Verdict]) -> dict[Category, float]:
    """Mean belief of every category that has a verdict, each in [0, 1]."""
    grouped: dict[Category, list[float]] = {}
    for verdict in verdicts:
        grouped.setdefault(verdict.principle.category, []).append(belief(verdict))
    return {category: sum(values) / len(values) for category, values in grouped.items()}


def _score(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0) * SCORE_MAX


def _require(verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        raise ValueError("nothing to aggregate: there are no verdicts")
