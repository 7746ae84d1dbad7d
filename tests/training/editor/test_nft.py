"""DiffusionNFT: it begins as flow matching weighted by advantages does, and holds what drifts, which that does not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.editor.grpo import Drawn, LossName, Objective, step_loss
from edit_rrm_training.editor.nft import negative_aware_loss, optimality
from edit_rrm_training.editor.sde import Step

SHAPE = (5, 4, 3)
STEP = Step(0.6, 0.0, "match", 0.7)
ADVANTAGES = torch.tensor([1.0, -1.0, 0.5, -3.0, 0.0])


def drawn(seed: int = 0) -> Drawn:
    generator = torch.Generator().manual_seed(seed)
    return Drawn(*(torch.randn(SHAPE, generator=generator) for _ in range(3)))


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9), st.floats(0.1, 10.0))
def test_optimality_is_a_share_that_rises_with_the_advantage(advantages: list[float], most: float) -> None:
    found = optimality(torch.tensor(sorted(advantages)), most)
    assert ((found >= 0.0) & (found <= 1.0)).all()
    assert (found.diff() >= 0.0).all()
    assert optimality(torch.tensor([0.0, most, -most, 2 * most]), most).tolist() == [0.5, 1.0, 0.0, 1.0]


def test_the_first_gradient_is_that_of_flow_matching_weighted_by_advantages() -> None:
    one = drawn()
    gradients = []
    for loss in ("clipped", "nft"):
        mean = one.mean.clone().requires_grad_()
        objective = Objective(loss=loss, clip=0.2, kl=0.0, max_advantage=3.0)
        found = step_loss(objective, STEP, one, mean, ADVANTAGES, torch.full((5,), 0.2))
        gradients.append(torch.autograd.grad(found.loss, mean)[0])
        assert not found.clipped.any()
    # An advantage of max_advantage is an optimality of 1.
    assert torch.allclose(gradients[1], gradients[0] / 3.0, atol=1e-7)


@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_the_minimum_is_no_further_away_than_what_was_drawn(seed: int, share: float) -> None:
    one = drawn(seed)
    optimal = torch.full((5,), share)
    least = (one.mean + (2.0 * optimal - 1.0)[:, None, None] * (one.after - one.mean)).requires_grad_()
    loss = negative_aware_loss(least, one.mean, one.after, optimal)
    assert torch.autograd.grad(loss.sum(), least)[0].abs().max() < 1e-5
    assert (loss <= negative_aware_loss(least + 0.1, one.mean, one.after, optimal)).all()
    assert ((least - one.mean).abs() <= (one.after - one.mean).abs() + 1e-5).all()


@pytest.mark.parametrize(("loss", "held"), [("clipped", False), ("nft", True)])
def test_weights_that_drift_are_pulled_back(loss: LossName, held: bool) -> None:
    """Away from the policy that drew, in a direction that no reward asked for; advantages of a group sum to 0."""
    generator = torch.Generator().manual_seed(1)
    old, true = (torch.randn(4, 500, generator=generator) for _ in range(2))
    drift = 0.05 * torch.randn(500, generator=generator)
    mean = (old + drift).requires_grad_()
    objective = Objective(loss=loss, clip=0.9, kl=0.0, max_advantage=2.0)
    advantages = torch.tensor([1.0, 0.5, -0.5, -1.0])
    found = step_loss(objective, STEP, Drawn(old, true, old), mean, advantages, torch.full((4,), 0.25))
    (gradient,) = torch.autograd.grad(found.loss, mean)
    # What the advantages ask for, without the drift.
    still = old.clone().requires_grad_()
    asked = step_loss(objective, STEP, Drawn(old, true, old), still, advantages, torch.full((4,), 0.25))
    pull = (gradient - torch.autograd.grad(asked.loss, still)[0]).sum(0)
    along = float(pull @ drift / drift.norm() ** 2) * 500 * STEP.std**2
    assert along == pytest.approx(1.0 if held else 0.0, abs=0.02)
