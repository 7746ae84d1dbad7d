"""Pairs that people call tied, and the threshold that published tables fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.pairs.comparison import Judged
from edit_rrm_training.judge.pairs.human_ties import calibrated, human_ties
from tests.training.pairs.pictures import judged

scores = st.none() | st.integers(0, 10).map(float)
some_pairs = st.lists(
    st.builds(Judged, source=st.just("a"), better=scores, worse=scores, tied=st.booleans()), max_size=30
)


def right_at(pairs: list[Judged], threshold: float) -> int:
    count = 0
    for pair in pairs:
        if pair.better is not None and pair.worse is not None:
            same = abs(pair.better - pair.worse) <= threshold
            count += same if pair.tied else (not same and pair.better > pair.worse)
    return count


def test_ties_agree_with_equal_scores_only() -> None:
    pairs = [
        judged(5, 5, "a", tied=True),
        judged(5, 6, "b", tied=True),
        judged(None, 6, "c", tied=True),
        judged(7, 6, "d"),
    ]
    found = human_ties(pairs)
    assert (found["pairs"], found["unscored"]) == (3, 1)
    assert found["agreed"]["value"] == 0.5
    assert found["accuracy_with_ties"]["value"] == pytest.approx(2 / 3)


def test_the_threshold_pays_for_ties_with_preferences() -> None:
    pairs = [judged(5, 6, tied=True), judged(6, 5, tied=True), judged(9, 3), judged(5.5, 5)]
    assert calibrated(pairs) == {"threshold": 1.0, "accuracy": 0.75}
    assert calibrated([judged(9, 3), judged(5.5, 5)]) == {"threshold": 0.0, "accuracy": 1.0}


def test_without_scores_there_is_no_threshold() -> None:
    assert calibrated([judged(None, 1.0)]) == calibrated([]) == {"threshold": None, "accuracy": None}


@given(some_pairs)
def test_no_threshold_is_better_than_the_calibrated_one(pairs: list[Judged]) -> None:
    found = calibrated(pairs)
    scored = sum(pair.better is not None and pair.worse is not None for pair in pairs)
    if found["threshold"] is None or found["accuracy"] is None:
        assert scored == 0
        return
    best = max(right_at(pairs, threshold) for threshold in (*range(11), 0.5))
    assert found["accuracy"] == pytest.approx(best / scored)
    assert right_at(pairs, found["threshold"]) == best
