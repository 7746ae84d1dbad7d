"""Rewards that were not measured: masking them costs what theory says it does, and calling them 0 costs more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edit_rrm.verdicts import Outcome
from edit_rrm_client import FailureBudget, FailureBudgetError, FailurePolicy, GroupResult, group_advantages
from tests.client.steps import scored, unscored

Chance = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

GROUPS, SIZE = 4_000, 24
FAILURES: dict[str, Chance] = {
    "independent": lambda rewards: np.full_like(rewards, 0.3),
    "the good fail": lambda rewards: 0.6 * rewards,
    "the bad fail": lambda rewards: 0.6 * (1.0 - rewards),
    "only the best fail": lambda rewards: np.where(rewards > 0.8, 0.9, 0.0),
}


def world(chance: Chance, seed: int = 0) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """True rewards, failure chances and which were measured, in groups."""
    rng = np.random.default_rng(seed)
    rewards = rng.beta(2.0, 2.0, (GROUPS, SIZE))
    chances = chance(rewards)
    return rewards, chances, rng.random((GROUPS, SIZE)) >= chances


@pytest.mark.parametrize("chance", FAILURES.values(), ids=FAILURES.keys())
def test_the_bias_of_a_masked_groups_mean_is_what_theory_says(chance: Chance) -> None:
    rewards, chances, mask = world(chance)
    means = np.array([group[valid].mean() for group, valid in zip(rewards, mask, strict=True) if valid.any()])
    theory = -np.cov(rewards.ravel(), chances.ravel())[0, 1] / (1.0 - chances.mean())
    error = 4.0 * means.std() / np.sqrt(GROUPS)
    # The mean of a ratio is not the ratio of means; of 24 members the difference is below a tenth of a percent.
    assert means.mean() - rewards.mean() == pytest.approx(theory, abs=error + 0.002)


@pytest.mark.parametrize("chance", FAILURES.values(), ids=FAILURES.keys())
def test_calling_failures_0_is_wrong_by_more_and_blames_the_failed(chance: Chance) -> None:
    rewards, chances, mask = world(chance)
    zeroed = np.where(mask, rewards, 0.0)
    bias = zeroed.mean() - rewards.mean()
    assert bias == pytest.approx(-(rewards * chances).mean(), abs=0.003)
    masked_bias = -np.cov(rewards.ravel(), chances.ravel())[0, 1] / (1.0 - chances.mean())
    assert abs(bias) > 2.0 * abs(masked_bias)

    blamed, _ = group_advantages(zeroed, np.ones_like(mask))
    ours, counts = group_advantages(zeroed, mask)
    true, _ = group_advantages(rewards, np.ones_like(mask))
    assert blamed[~mask].max() < 0.0, "whoever failed is worse than average, however good"
    assert (ours[~mask] == 0.0).all()
    # Closer to the advantages that no failure would have given, on what both know.
    assert np.abs(ours - true)[counts].mean() < 0.6 * np.abs(blamed - true)[counts].mean()


Rewards = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=st.floats(0.0, 1.0))


@given(Rewards, st.data())
def test_what_is_masked_moves_nothing(rewards: npt.NDArray[np.float64], data: st.DataObject) -> None:
    mask = data.draw(arrays(np.bool_, rewards.shape))
    junk = np.where(mask, rewards, data.draw(st.sampled_from([np.nan, np.inf, -1e9, 0.0])))
    advantages, counts = group_advantages(junk, mask)
    again, _ = group_advantages(rewards, mask)
    assert np.array_equal(advantages, again)
    assert np.isfinite(advantages).all()
    assert (advantages[~counts] == 0.0).all()
    assert (counts.sum(-1) == np.where(mask.sum(-1) >= 2, mask.sum(-1), 0)).all()
    for row, valid, kept in zip(rewards, mask, advantages, strict=True):
        alone = row[valid]
        if len(alone) >= 2:
            expected = (alone - alone.mean()) / (alone.std(ddof=1) + 1e-4)
            assert kept[valid] == pytest.approx(expected, abs=1e-4)
            assert kept.sum() == pytest.approx(0.0, abs=1e-3)


def test_groups_with_too_few_are_dropped_and_scaling_is_a_choice() -> None:
    rewards, mask = [[0.2, 0.8, 0.5, 0.1]], [[True, True, False, False]]
    _, counts = group_advantages(rewards, mask, FailurePolicy(min_valid=3))
    assert not counts.any()
    advantages, _ = group_advantages(rewards, mask, scale=False)
    assert advantages.tolist() == [pytest.approx([-0.3, 0.3, 0.0, 0.0])]


def test_epsilon_keeps_differences_that_mean_nothing_small() -> None:
    rewards = np.array([[0.2, 0.8], [0.50, 0.51]])
    everything = np.ones_like(rewards, np.bool_)
    plain, _ = group_advantages(rewards, everything)
    assert plain[1, 1] == pytest.approx(plain[0, 1], rel=0.02)
    careful, _ = group_advantages(rewards, everything, epsilon=0.05)
    assert careful[0, 1] == pytest.approx(0.3 / (0.3 * 2**0.5 + 0.05), rel=1e-5)
    assert careful[1, 1] < 0.15 * careful[0, 1]


@pytest.mark.parametrize(
    ("rewards", "mask", "told"),
    [
        ([0.1, 0.2], [True], "do not go with"),
        (0.5, True, "do not go with"),
        ([0.1, np.nan], [True, True], "not finite"),
    ],
)
def test_what_cannot_be_is_refused(rewards: Any, mask: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        group_advantages(rewards, mask)


@pytest.mark.parametrize("wrong", [{"min_valid": 1}, {"max_failed": 1.5}, {"window": 0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|from 0 to 1"):
        FailurePolicy(**wrong)


def step(good: int, failed: int) -> list[GroupResult]:
    return [GroupResult(tuple([scored(5.0)] * good + [unscored(Outcome.TIMED_OUT)] * failed))]


def test_a_run_is_stopped_when_its_recent_edits_fail_too_often() -> None:
    budget = FailureBudget(FailurePolicy(max_failed=0.25, window=100))
    budget.observe(step(0, 50))  # a start that is bumpy says nothing yet
    budget.observe(step(150, 0))
    assert budget.failed == 0.0
    budget.observe(step(0, 25))
    with pytest.raises(FailureBudgetError, match=r"26\.0% of the last 100 edits.*timed_out: no") as caught:
        budget.observe(step(0, 1))
    assert caught.value.code == "failure_budget"


def test_what_all_devices_measured_can_be_counted_without_their_results() -> None:
    """So that every process of a run counts the same, and all of them stop, or none."""
    budget = FailureBudget(FailurePolicy(max_failed=0.5, window=4))
    budget.observe_measured([True, False, False, True])
    assert budget.failed == 0.5
    with pytest.raises(FailureBudgetError, match=r"75\.0% of the last 4 edits.*the judge sleeps"):
        budget.observe_measured([False], "the judge sleeps")
