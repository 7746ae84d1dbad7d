"""Accuracy on pairs: ties by three rules, nothing unscored counted as a score, clusters by source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.pairs.comparison import (
    Judged,
    Standing,
    Ties,
    accuracy,
    by,
    mean_over_categories,
    summary,
)
from tests.training.pairs.pictures import judged

scores = st.none() | st.sampled_from([0.0, 2.5, 5.0, 10.0])
some_pairs = st.lists(
    st.builds(
        Judged,
        source=st.sampled_from("abcdef"),
        better=scores,
        worse=scores,
        category=st.sampled_from(["add", "remove", None]),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("better", "worse", "standing"),
    [(6.0, 5.9, "right"), (5.9, 6.0, "wrong"), (0.0, 0.0, "tied"), (None, 5.0, "unscored"), (5.0, None, "unscored")],
)
def test_where_scores_stand(better: float | None, worse: float | None, standing: str) -> None:
    assert judged(better, worse).standing == standing


@pytest.mark.parametrize(("ties", "value", "total"), [("wrong", 2 / 4, 4), ("half", 2.5 / 4, 4), ("drop", 2 / 3, 3)])
def test_ties_count_as_told(ties: str, value: float, total: int) -> None:
    pairs = [judged(6, 5, "a"), judged(6, 5, "b"), judged(5, 6, "c"), judged(5, 5, "d"), judged(None, 5, "e")]
    found = summary(pairs, Ties(ties))
    assert found["accuracy"]["value"] == pytest.approx(value)
    assert found["accuracy"]["total"] == total
    assert found["accuracy_unscored_wrong"]["total"] == total + 1
    assert {name: found[name] for name in Standing} == {"right": 2, "wrong": 1, "tied": 1, "unscored": 1}


def test_a_zero_that_was_scored_is_a_score_and_no_score_is_none() -> None:
    assert accuracy([judged(5.0, 0.0)], Ties.WRONG).value == 1.0
    assert accuracy([judged(5.0, None)], Ties.WRONG).value is None


def test_a_judge_that_does_not_answer_cannot_look_better_by_it() -> None:
    pairs = [judged(6, 5, str(index)) for index in range(5)] + [judged(None, 5, f"x{index}") for index in range(5)]
    found = summary(pairs, Ties.WRONG)
    assert found["accuracy"]["value"] == 1.0
    assert found["accuracy_unscored_wrong"]["value"] == 0.5


def test_pairs_of_one_source_are_one_cluster() -> None:
    apart = accuracy(
        [judged(6, 5, str(index)) if index % 2 else judged(5, 6, str(index)) for index in range(40)], Ties.WRONG
    )
    together = accuracy(
        [judged(6, 5, str(index // 4)) if index // 4 % 2 else judged(5, 6, str(index // 4)) for index in range(40)],
        Ties.WRONG,
    )
    assert apart.value == together.value == 0.5
    assert None not in (apart.low, apart.high, together.low, together.high)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)  # type: ignore[operator]  # checked above


def test_the_mean_over_categories_weighs_them_alike() -> None:
    pairs = [judged(6, 5, f"a{index}", category="add") for index in range(9)]
    pairs += [judged(5, 6, "r", category="remove"), judged(None, 5, "m", category="move")]
    mean = mean_over_categories(pairs, Ties.WRONG)
    assert mean["value"] == 0.5
    assert summary(pairs, Ties.WRONG)["accuracy"]["value"] == 0.9
    assert (mean["categories"], mean["categories_without_scores"]) == (2, 1)


@given(some_pairs)
def test_every_pair_stands_somewhere(pairs: list[Judged]) -> None:
    found = summary(pairs, Ties.WRONG)
    assert sum(found[name] for name in Standing) == found["pairs"] == len(pairs)
    parts = by(pairs, lambda pair: pair.category, Ties.WRONG)
    for name in ("pairs", *Standing):
        assert sum(part[name] for part in parts.values()) == sum(
            pair.category is not None and name in ("pairs", pair.standing) for pair in pairs
        )


@given(some_pairs)
def test_ties_move_accuracy_one_way(pairs: list[Judged]) -> None:
    wrong, half, drop = (accuracy(pairs, ties).value for ties in (Ties.WRONG, Ties.HALF, Ties.DROP))
    if wrong is not None and half is not None:
        assert wrong <= half
        if drop is not None:
            assert wrong <= drop + 1e-12


@given(some_pairs)
def test_a_judge_turned_round_is_right_where_it_was_wrong(pairs: list[Judged]) -> None:
    turned = [Judged(pair.source, pair.worse, pair.better) for pair in pairs]
    there, back = accuracy(pairs, Ties.HALF).value, accuracy(turned, Ties.HALF).value
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there + back == pytest.approx(1.0)


@given(some_pairs)
def test_scores_that_are_missing_move_no_accuracy(pairs: list[Judged]) -> None:
    scored = [pair for pair in pairs if pair.standing is not Standing.UNSCORED]
    assert accuracy(pairs, Ties.WRONG) == accuracy(scored, Ties.WRONG)
