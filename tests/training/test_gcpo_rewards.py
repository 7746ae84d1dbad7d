"""GCPO's rewards hold what the paper's equations imply."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.gcpo_rewards import pair_rewards, pair_statistics
from edit_rrm_training.judge.ties import Ties

NAN = float("nan")
tenths = st.integers(0, 100).map(lambda tenth: tenth / 10)


def groups(scores: st.SearchStrategy[float], pairs: int = 3, rollouts: int = 4) -> st.SearchStrategy[torch.Tensor]:
    count = pairs * 2 * rollouts
    listed = st.lists(scores, min_size=count, max_size=count)
    return listed.map(lambda values: torch.tensor(values, dtype=torch.float64).view(pairs, 2, rollouts))


def pair(winner: list[float], loser: list[float]) -> torch.Tensor:
    return torch.tensor([[winner, loser]], dtype=torch.float64)


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    return rewards - rewards.mean(-1, keepdim=True)


@given(groups(tenths))
def test_they_are_the_equations(scores: torch.Tensor) -> None:
    """Written out, comparison by comparison."""
    rewards, count = pair_rewards(scores), scores.shape[2]
    for index, (winner, loser) in enumerate(scores.tolist()):
        for rollout in range(count):
            assert rewards[index, 0, rollout] == sum(winner[rollout] > other for other in loser) / count
            assert rewards[index, 1, rollout] == sum(loser[rollout] < other for other in winner) / count


@given(groups(tenths), st.sampled_from([Ties.ZERO, Ties.HALF]))
def test_mean_win_ratio_is_mean_loss_ratio_is_the_probability(scores: torch.Tensor, ties: Ties) -> None:
    rewards = pair_rewards(scores, ties)
    assert torch.allclose(rewards[:, 0].mean(-1), rewards[:, 1].mean(-1))
    if ties is Ties.ZERO:
        assert float(rewards.mean()) == pytest.approx(pair_statistics(scores).win_probability)


@given(groups(tenths), st.sampled_from(list(Ties)))
def test_rewards_are_shares(scores: torch.Tensor, ties: Ties) -> None:
    rewards = pair_rewards(scores, ties)
    known = rewards[~rewards.isnan()]
    assert bool(((known >= 0) & (known <= 1)).all())
    assert ties is Ties.DROP or len(known) == rewards.numel()


@given(groups(tenths))
def test_advantages_sum_to_zero_in_every_group(scores: torch.Tensor) -> None:
    assert advantages(pair_rewards(scores)).sum(-1).abs().max() < 1e-9


@given(groups(tenths))
def test_swapping_a_pair_turns_right_into_wrong(scores: torch.Tensor) -> None:
    """With ties at one half, each side's rewards become what is missing from 1: the advantages change sign."""
    rewards = pair_rewards(scores, Ties.HALF)
    swapped = pair_rewards(scores.flip(1), Ties.HALF).flip(1)
    assert torch.allclose(swapped, 1 - rewards)
    assert torch.allclose(advantages(swapped), -advantages(rewards))


@pytest.mark.parametrize(
    ("scores", "fate"),
    [
        (pair([8, 9], [1, 2]), "dead_right"),
        (pair([1, 2], [8, 9]), "dead_wrong"),
        (pair([5, 5], [5, 5]), "dead_tied"),
    ],
)
def test_comparisons_that_all_agree_give_no_gradient_and_are_counted(scores: torch.Tensor, fate: str) -> None:
    assert advantages(pair_rewards(scores)).abs().max() == 0.0
    found = pair_statistics(scores)
    fates = {name: getattr(found, name) for name in ("dead_right", "dead_wrong", "dead_tied")}
    assert fates == {**dict.fromkeys(fates, 0.0), fate: 1.0}


def test_a_margin_tells_a_dead_pair_which_way_is_up() -> None:
    scores = pair([1, 2], [8, 9])
    found = advantages(pair_rewards(scores, margin=0.5))
    assert found[0, 0, 1] > 0 > found[0, 0, 0]
    assert found[0, 1, 0] > 0 > found[0, 1, 1]
    assert torch.equal(pair_rewards(scores, margin=0.0), pair_rewards(scores))


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        (Ties.ZERO, ([0.0, 0.5], [0.5, 0.0])),
        (Ties.HALF, ([0.25, 0.75], [0.75, 0.25])),
        (Ties.DROP, ([0.0, 1.0], [1.0, 0.0])),
    ],
)
def test_ties(ties: Ties, expected: tuple[list[float], list[float]]) -> None:
    assert pair_rewards(pair([5, 6], [5, 6]), ties).tolist() == [list(expected)]


def test_dropped_ties_can_leave_a_rollout_without_signal() -> None:
    rewards = pair_rewards(pair([5, 7], [5, 5]), Ties.DROP)
    assert math.isnan(rewards[0, 0, 0])
    assert rewards[0, 0, 1] == 1.0
    assert rewards[0, 1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("ties", list(Ties))
def test_what_is_no_judgement_loses_every_comparison_on_either_side(ties: Ties) -> None:
    rewards = pair_rewards(pair([NAN, 7.0], [NAN, 3.0]), ties)
    assert rewards[0, 0, 0] == 0.0
    assert rewards[0, 1, 0] == 0.0
    assert rewards[0, 0, 1] == 1.0
    assert rewards[0, 1, 1] == 1.0


@given(groups(tenths, pairs=1))
def test_a_rollout_that_is_no_judgement_moves_no_advantage_of_the_other_side(scores: torch.Tensor) -> None:
    broken = scores.clone()
    broken[0, 1, 0] = NAN
    whole = scores.clone()
    whole[0, 1, 0] = -1.0  # what every winner's rollout is above
    assert torch.allclose(advantages(pair_rewards(broken))[:, 0], advantages(pair_rewards(whole))[:, 0])


def test_the_statistics_of_a_batch() -> None:
    scores = torch.tensor([[[8.0, 6.0], [6.0, NAN]], [[2.0, 2.0], [2.0, 2.0]]], dtype=torch.float64)
    found = pair_statistics(scores)
    assert found.win_probability == pytest.approx(1 / 8)
    assert found.unread == pytest.approx(1 / 8)
    assert found.dead_tied == 0.5
    assert found.score_mean == pytest.approx((8 + 6 + 6 + 2 * 4) / 7)
    assert found.score_spread == pytest.approx(1 / 3)


def test_a_batch_of_babble_has_statistics_too() -> None:
    found = pair_statistics(torch.full((1, 2, 2), NAN))
    assert (found.win_probability, found.unread, found.dead_tied) == (0.0, 1.0, 0.0)
    assert math.isnan(found.score_mean)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (2, 2)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(pairs, 2, rollouts\)"):
        pair_rewards(torch.zeros(shape))


def test_no_combination_of_small_scores_breaks_it() -> None:
    for values in product((0.0, 5.0, NAN), repeat=4):
        scores = torch.tensor([values]).view(1, 2, 2)
        for ties in (Ties.ZERO, Ties.HALF):
            assert pair_rewards(scores, ties).isfinite().all()
        pair_statistics(scores)
