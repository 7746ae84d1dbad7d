"""Learning from good and bad edits by a loss that holds the policy to the one that drew them (DiffusionNFT). Pure.

Flow matching weighted by advantages does not: they sum to 0 in a group, and so do the curvatures that a good edit and a
bad one give it, so that weights may drift wherever noise takes them. Negative-aware fine-tuning (arXiv 2509.16117)
trains two implicit policies, of which the good one is where the policy went, and the bad one as far the other way::

    v+ = v_old + (v - v_old)      v- = v_old - (v - v_old)      L = E[r |v+ - v_true|^2 + (1 - r) |v- - v_true|^2]

with r the edit's optimality, from 0 to 1 (here: beta = 1). Where v is v_old, its gradient is that of flow matching
weighted by advantages; but whatever r is, it curves as flow matching does on good edits alone, and its minimum

    v = v_old + E[(2 r - 1) (v_true - v_old)]

lies no further from the policy that drew the edits than that one is from what it drew.
"""

from __future__ import annotations

import torch


def optimality(advantages: torch.Tensor, most: float) -> torch.Tensor:
    """r, (B,), from 0 to 1: a half for an edit that is as good as its group, 1 from an advantage of `most` on."""
    return 0.5 + 0.5 * (advantages.float() / most).clamp(-1.0, 1.0)


def negative_aware_loss(
    velocity: torch.Tensor, old: torch.Tensor, true: torch.Tensor, optimal: torch.Tensor
) -> torch.Tensor:
    """L of each edit, (B,): a mean over dimensions.

    Args:
        velocity: Under the policy that is trained, (B, ...), with a graph.
        old: Under the policy that drew the edits, (B, ...).
        true: Of the straight path to each edit, (B, ...).
        optimal: r, (B,).
    """
    old, true = old.float(), true.float()
    moved = velocity.float() - old
    good = (old + moved - true).square().flatten(1).mean(1)
    bad = (old - moved - true).square().flatten(1).mean(1)
    return optimal * good + (1.0 - optimal) * bad
