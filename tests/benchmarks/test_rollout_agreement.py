"""How a judge's order of rollouts is compared with the oracle's, and an editor's drawing with perfect results."""

from __future__ import annotations

import pytest

from benchmarks.redrawing import redrawn
from benchmarks.rollout_agreement import Agreement, agreement, correlation
from edit_rrm_training.editor.edit import load_editor


def test_pairs_are_of_one_group_and_a_tie_is_half() -> None:
    rewards = [[0.9, 0.1], [0.2, 0.2], [0.5, 0.4]]
    good = [[True, False], [True, False], [True, True]]
    assert agreement(rewards, good) == Agreement(0.75, 2)


def test_what_was_not_measured_is_in_no_pair() -> None:
    assert agreement([[None, 0.1, 0.3]], [[True, False, True]]) == Agreement(1.0, 1)
    assert agreement([[None, 0.1]], [[True, False]]) == Agreement(None, 0)


def test_what_correlates_are_distances_within_a_group() -> None:
    between = [[0.9, 0.9], [0.1, 0.1]]
    assert correlation(between, [[True, True], [False, False]]) is None, "groups that differ tell nothing"
    within: list[list[float | None]] = [[0.2, 0.1, None], [0.9, 0.8, 0.8]]
    assert correlation(within, [[True, False, True], [True, False, False]]) == pytest.approx(1.0)
    assert correlation(within, [[False, True, True], [False, True, True]]) == pytest.approx(-1.0)
    assert correlation([[None, None]], [[True, False]]) is None


def test_an_editor_that_is_shown_nearly_all_of_a_perfect_result_keeps_it() -> None:
    policy = load_editor("nano")
    little = redrawn(policy, "validation", 12, time=0.05, steps=2)
    assert little.value is not None
    assert little.value >= 0.75
    with pytest.raises(ValueError, match="above 0, and up to 1"):
        redrawn(policy, "validation", 1, time=0.0, steps=2)
