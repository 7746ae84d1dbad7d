"""GRPO on the steps of a flow: the clipped objective, and its normalised ratio. Pure.

Per stochastic step t and sample i, with the ratio r of the step's density under the policy and under the one that drew
it (`sde.log_density`, a mean over dimensions)::

    L = -E[min(r A_i, clip(r, 1 - eps, 1 + eps) A_i)] + beta KL(policy || reference)        (Flow-GRPO, eq. 5)

GRPO-Guard (arXiv 2510.22319) finds that log r has a negative mean and a deviation that differs from step to step, so
that the clip binds on one side and on some steps alone, and takes r' = exp(mean((mu - mu_old) . e)) instead, where e is
the standard noise that was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from edit_rrm_training.editor.nft import negative_aware_loss, optimality
from edit_rrm_training.editor.sde import Step, kl_divergence, log_density

LossName = Literal["clipped", "nft"]
"""GRPO's clipped objective, or DiffusionNFT's in its place (`nft`); both learn from the same advantages."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised."""

    loss: LossName = "clipped"
    """Of the two; `nft` is of steps by sampler `match`, and has no clip."""
    clip: float = 1e-4
    """How far a ratio may leave 1 before its gain is cut off; small, because a ratio is a mean over dimensions."""
    kl: float = 0.04
    """Weight of the divergence from the reference (paper, section 4.3)."""
    max_advantage: float = 5.0
    """Advantages are clipped to plus and minus this; for `nft`, an edit with this one is wholly good."""
    guard: bool = False
    """Normalise ratios as GRPO-Guard does."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.clip <= 0.0 or self.kl < 0.0 or self.max_advantage <= 0.0:
            raise ValueError("clip and max_advantage are greater than 0, and kl is not less")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a policy drew in one step, for B samples."""

    before: torch.Tensor
    """x_t, (B, ...)."""
    after: torch.Tensor
    """x_t', (B, ...)."""
    mean: torch.Tensor
    """Under the policy that drew it, (B, ...), fp32."""


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The loss of one step of B samples, and what to log about it."""

    loss: torch.Tensor
    """Scalar."""
    ratio: torch.Tensor
    """(B,), detached."""
    clipped: torch.Tensor
    """(B,): whether the clip cut a sample's gain off."""
    kl: torch.Tensor
    """(B,), detached; 0 without a reference."""


def step_loss(
    objective: Objective,
    step: Step,
    drawn: Drawn,
    mean: torch.Tensor,
    advantages: torch.Tensor,
    weights: torch.Tensor,
    reference: torch.Tensor | None = None,
) -> StepLoss:
    """The loss of one stochastic step.

    Args:
        objective: What is minimised.
        step: The step.
        drawn: What was drawn in it.
        mean: Its mean under the policy that is trained, (B, ...), with a graph.
        advantages: (B,).
        weights: (B,), of each sample in the loss: 1 over the number of samples and steps of the whole update, and 0 for
            those whose reward was not measured.
        reference: The mean under the frozen policy, (B, ...); needed where `objective.kl` is not 0.

    Raises:
        ValueError: The step draws nothing, or there is no reference where there has to be one.
    """
    if objective.kl > 0.0 and reference is None:
        raise ValueError("a KL of weight greater than 0 needs the reference's mean")
    log_ratio = _log_ratio(objective, step, drawn, mean)
    ratio = log_ratio.exp()
    if objective.loss == "nft":
        optimal = optimality(advantages, objective.max_advantage)
        loss = (negative_aware_loss(mean, drawn.mean, drawn.after, optimal) * weights).sum() / (2.0 * step.std**2)
        clipped = torch.zeros_like(ratio, dtype=torch.bool)
    else:
        gain = advantages.float().clamp(-objective.max_advantage, objective.max_advantage)
        plain = ratio * gain
        bounded = ratio.clamp(1.0 - objective.clip, 1.0 + objective.clip) * gain
        loss = -(torch.minimum(plain, bounded) * weights).sum()
        clipped = bounded < plain
    divergence = torch.zeros_like(ratio)
    if objective.kl > 0.0 and reference is not None:
        divergence = kl_divergence(mean, reference, step)
        loss = loss + objective.kl * (divergence * weights).sum()
    return StepLoss(loss, ratio.detach(), clipped.detach(), divergence.detach())


def _log_ratio(objective: Objective, step: Step, drawn: Drawn, mean: torch.Tensor) -> torch.Tensor:
    if not objective.guard:
        return log_density(drawn.after, mean, step) - log_density(drawn.after, drawn.mean, step)
    noise = (drawn.after.float() - drawn.mean.float()) / step.std
    return ((mean.float() - drawn.mean.float()) * noise).flatten(1).mean(1)
