"""The rewards of GCPO, from the scores of a pair's rollouts (paper, section 4, equations 1 and 2). Pure.

A pair has two groups of N rollouts, one that judged the winner's image and one that judged the loser's. Every rollout
of one group is compared with every rollout of the other; what a rollout earns is the share of its comparisons that it
got right: a winner's rollout by scoring higher, a loser's by scoring lower.

Where the paper is silent, there is a switch, and its default is what the equation says:

- *Ties.* The text ignores ties; in the equation a tie counts 0 and stays in the denominator (`zero`). `half` gives both
  sides one half, `drop` takes the comparison out of the denominator.
- *Rollouts that are no judgement.* Not stated. Here such a rollout loses every comparison, whichever side it is on,
  and what it is compared with wins; that gives all rollouts of the other side the same, so it moves none of their
  advantages.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edit_rrm_training.judge.ties import Ties


@dataclass(frozen=True, slots=True)
class PairStatistics:
    """What a batch of pairs looked like, for the log. Shares are of pairs, all in [0, 1]."""

    win_probability: float
    """P(winner's score > loser's score) over all comparisons: the training curve."""
    dead_right: float
    """Pairs without a gradient because every comparison is right."""
    dead_wrong: float
    """Pairs without a gradient because every comparison is wrong: GCPO cannot mend those."""
    dead_tied: float
    """Pairs without a gradient because every comparison is a tie."""
    unread: float
    """Share of the rollouts that are no judgement."""
    score_mean: float
    """Mean score of the rollouts that are one, in [0, 10]; NaN where there are none."""
    score_spread: float
    """Mean standard deviation of the scores within a group; NaN where no group has two."""


def pair_rewards(scores: torch.Tensor, ties: Ties = Ties.ZERO, *, margin: float = 0.0) -> torch.Tensor:
    """Rewards of a batch of pairs' rollouts.

    Args:
        scores: Scores in [0, 10], NaN for rollouts that are no judgement; shape (pairs, 2, N), winners first.
        ties: What equal scores give.
        margin: Ours, not the paper's: adds this times the rollout's mean lead over the other group's scores, in tenths
            of the scale. A pair whose comparisons are all wrong then still says which way is up. 0 leaves it out.

    Returns:
        Rewards of the same shape. Without a margin they are in [0, 1]; NaN (no signal) for a rollout that `drop` leaves
        without a comparison.

    Raises:
        ValueError: The shape is another.
    """
    if scores.dim() != 3 or scores.shape[1] != 2:
        raise ValueError(f"scores have shape {tuple(scores.shape)}; (pairs, 2, rollouts) is needed")
    winner, loser = scores[:, 0, :, None], scores[:, 1, None, :]
    read_winner, read_loser = ~winner.isnan(), ~loser.isnan()
    right = winner > loser
    equal = (winner == loser).to(scores.dtype)
    tie = equal if ties is Ties.HALF else torch.zeros_like(equal)
    won = torch.where(read_winner & read_loser, right + tie * 0.5, (read_winner & ~read_loser).to(scores.dtype))
    lost = torch.where(read_winner & read_loser, right + tie * 0.5, (read_loser & ~read_winner).to(scores.dtype))
    counted = 1.0 - equal if ties is Ties.DROP else torch.ones_like(equal)
    rewards = torch.stack([_share(won, counted, -1), _share(lost, counted, -2)], dim=1)
    return rewards + margin * _leads(scores) if margin else rewards


def pair_statistics(scores: torch.Tensor) -> PairStatistics:
    """Describe a batch of pairs' scores, shape (pairs, 2, N), NaN for rollouts that are no judgement."""
    winner, loser = scores[:, 0, :, None], scores[:, 1, None, :]
    right, equal = winner > loser, winner == loser
    read = ~scores.isnan()
    all_read = read.flatten(1).all(1)
    known = scores[read]
    groups = [group[group.isfinite()] for group in scores.flatten(0, 1)]
    spreads = [group.std(correction=0) for group in groups if len(group) > 1]
    nothing = scores.new_tensor(float("nan"))
    return PairStatistics(
        win_probability=float(right.to(scores.dtype).mean()),
        dead_right=_mean(right.flatten(1).all(1)),
        dead_wrong=_mean((winner < loser).flatten(1).all(1)),
        dead_tied=_mean(equal.flatten(1).all(1) & all_read),
        unread=_mean(~read),
        score_mean=float(known.mean() if len(known) else nothing),
        score_spread=float(torch.stack(spreads).mean() if spreads else nothing),
    )


def _share(credit: torch.Tensor, counted: torch.Tensor, over: int) -> torch.Tensor:
    """Mean credit over the counted comparisons; 0 / 0 is NaN."""
    return (credit * counted).sum(over) / counted.sum(over)


def _leads(scores: torch.Tensor) -> torch.Tensor:
    """How far each rollout's score is ahead of the other group's mean, in tenths of the scale; 0 where unread."""
    means = scores.nanmean(dim=2, keepdim=True)
    leads = torch.cat([scores[:, :1] - means[:, 1:], means[:, :1] - scores[:, 1:]], dim=1) / 10.0
    return leads.nan_to_num(0.0)


def _mean(flags: torch.Tensor) -> float:
    return float(flags.float().mean())
