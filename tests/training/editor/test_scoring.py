"""Rewards of several judges: a weighted sum that is measured where all of it is, and what is done where it is not."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode, Outcome, Reward
from edit_rrm_client import FailureBudget, FailureBudgetError, Group, GroupResult
from edit_rrm_client.failure_policy import FailurePolicy
from edit_rrm_training.editor.scoring import Asked, Scored, Scorer, Weighted, reward_means
from tests.client.steps import scored, unscored
from tests.training.editor.toy_run import PROMPTS

Scores = list[float | None]
"""Of a group's edits, 0 to 10; None of one that is not measured."""


class Says:
    """A judge that gives the edits of every group the same scores."""

    def __init__(self, scores: Scores, meets: threading.Barrier | None = None) -> None:
        self._scores = scores
        self._meets = meets

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        if self._meets is not None:
            self._meets.wait()
        results: list[Reward] = [
            unscored(Outcome.TIMED_OUT) if score is None else scored(score) for score in self._scores
        ]
        return [GroupResult(tuple(results)) for _ in groups]


def group_of(scorer: Scorer, count: int) -> Scored:
    edits = [Image.new("RGB", (4, 4))] * count
    found = scorer.submit(PROMPTS[0], edits).result()
    scorer.close()
    return found


WEIGHTS = st.floats(0.01, 10.0)


@st.composite
def several(draw: st.DrawFn) -> tuple[list[tuple[float, Scores]], tuple[float, list[float]]]:
    """Judges with their weights and scores of a group of edits, and an extra of our own with its weight."""
    count = draw(st.integers(1, 5))
    scores = st.lists(st.none() | st.floats(0.0, 10.0), min_size=count, max_size=count)
    judges = draw(st.lists(st.tuples(WEIGHTS, scores), min_size=1, max_size=4))
    return judges, (draw(WEIGHTS), draw(st.lists(st.floats(-1.0, 1.0), min_size=count, max_size=count)))


@settings(deadline=None, max_examples=60)
@given(several())
def test_the_sum_is_measured_where_all_of_it_is(
    drawn: tuple[list[tuple[float, Scores]], tuple[float, list[float]]],
) -> None:
    judges, (extra_weight, extra) = drawn
    (weight, first), *rest = judges
    others = [Asked(f"other-{place}", Says(scores), weight=one) for place, (one, scores) in enumerate(rest)]
    mine = Weighted("mine", extra_weight, lambda prompt, edits: np.array(extra, np.float32))
    found = group_of(Scorer(Says(first), weight=weight, others=others, extras=[mine]), len(first))
    for place in range(len(first)):
        of_edit = [(one, scores[place]) for one, scores in judges]
        measured = [one * score / 10.0 for one, score in of_edit if score is not None]
        assert found.mask[place] == (len(measured) == len(of_edit))
        assert found.combined.mask[place] == found.mask[place]
        if found.mask[place]:
            assert found.rewards[place] == pytest.approx(sum(measured) + extra_weight * extra[place], abs=1e-4)
        else:
            assert np.isnan(found.rewards[place])
    # What each has measured is not lost with the sum.
    means = reward_means([found])
    for name, scores in [("judge", first), *((f"other-{place}", scores) for place, (_, scores) in enumerate(rest))]:
        known = [score / 10.0 for score in scores if score is not None]
        assert (f"reward_{name}" in means) == bool(known)
        if known:
            assert means[f"reward_{name}"] == pytest.approx(np.mean(known), abs=1e-5)
    assert means["reward_mine"] == pytest.approx(np.mean(extra), abs=1e-5)


def test_one_judge_alone_is_the_reward_to_the_bit() -> None:
    scores = [0.0, 3.3, 7.0, None, 9.99]
    found = group_of(Scorer(Says(scores)), 5)
    np.testing.assert_array_equal(found.rewards, found.result.rewards)
    assert found.rewards.dtype == np.float32
    assert reward_means([found]) == {}


def test_all_judges_are_asked_at_once() -> None:
    meets = threading.Barrier(3, timeout=20.0)
    others = [Asked(name, Says([5.0], meets)) for name in "ab"]
    assert group_of(Scorer(Says([5.0], meets), others=others, in_flight=1), 1).rewards == pytest.approx([1.5])


def test_more_groups_than_may_be_under_way_end_all() -> None:
    scorer = Scorer(Says([5.0]), others=[Asked(name, Says([5.0])) for name in "abc"], in_flight=2)
    under_way = [scorer.submit(PROMPTS[0], [Image.new("RGB", (4, 4))]) for _ in range(30)]
    assert [one.rewards.tolist() for one in [future.result() for future in under_way]] == [[2.0]] * 30
    scorer.close()


def test_failures_of_all_judges_count_against_the_budget_and_the_last_is_named() -> None:
    def combined(*second: float | None) -> GroupResult:
        scorer = Scorer(Says([None, 5.0, 5.0, 5.0]), others=[Asked("second", Says(list(second)))])
        return group_of(scorer, 4).combined

    budget = FailureBudget(FailurePolicy(max_failed=0.5, window=4))
    # One in four failed here, another one there; half may.
    budget.observe([combined(None, 5.0, 5.0, None)])
    assert budget.failed == 0.5
    with pytest.raises(FailureBudgetError, match=r"75\.0% of the last 4 edits .* reason: timed_out: second: no"):
        budget.observe([combined(5.0, None, None, 5.0)])


def test_an_error_of_any_judge_is_the_groups() -> None:
    class Fails(Says):
        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            raise RuntimeError("another judge than the pinned one")

    with pytest.raises(RuntimeError, match="another judge"):
        group_of(Scorer(Says([5.0]), others=[Asked("second", Fails([]))]), 1)
