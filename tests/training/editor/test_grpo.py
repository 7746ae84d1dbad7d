"""The objective: a ratio of exactly 1 before an update, gains that are cut off, and masks that keep out what failed."""

from __future__ import annotations

import pytest
import torch

from edit_rrm_training.editor.grpo import Drawn, Objective, step_loss
from edit_rrm_training.editor.sde import draw, log_density, mean_of, trajectory

STEP = trajectory([1.0, 0.75, 0.5, 0.25, 0.0], "sde", 0.7)[1]
SHAPE = (6, 9, 4)
EVERYONE = torch.full((6,), 1.0 / 6.0)


def drawn(seed: int = 0) -> Drawn:
    generator = torch.Generator().manual_seed(seed)
    before, velocity = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    mean = mean_of(STEP, before, velocity)
    return Drawn(before, draw(mean, STEP, torch.randn(SHAPE, generator=generator)), mean)


@pytest.mark.parametrize("guard", [False, True])
def test_before_the_first_update_every_ratio_is_exactly_1(guard: bool) -> None:
    one = drawn()
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0])
    mean = one.mean.clone().requires_grad_()
    found = step_loss(Objective(kl=0.0, guard=guard), STEP, one, mean, advantages, EVERYONE)
    assert (found.ratio == 1.0).all()
    assert found.loss.item() == pytest.approx(0.0, abs=1e-6)
    # And its gradient is policy gradient's: A times that of the log-density.
    (gradient,) = torch.autograd.grad(found.loss, mean)
    again = one.mean.clone().requires_grad_()
    if guard:
        noise = (one.after - one.mean) / STEP.std
        score = (again * noise).flatten(1).mean(1)
    else:
        score = log_density(one.after, again, STEP)
    (expected,) = torch.autograd.grad(-(advantages * score).mean(), again)
    assert torch.allclose(gradient, expected, atol=1e-7)


def test_a_step_along_the_gradient_raises_the_density_of_what_was_good() -> None:
    one = drawn()
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    mean = one.mean.clone().requires_grad_()
    step_loss(Objective(kl=0.0), STEP, one, mean, advantages, EVERYONE).loss.backward()
    assert mean.grad is not None
    moved = mean.detach() - 1e-2 * mean.grad
    change = log_density(one.after, moved, STEP) - log_density(one.after, one.mean, STEP)
    assert (torch.sign(change) == torch.sign(advantages)).all()


def test_a_gain_beyond_the_clip_teaches_nothing() -> None:
    one = drawn()
    # Moved a tenth of the way to what was drawn: every ratio is far beyond the clip.
    closer = (0.9 * one.mean + 0.1 * one.after).requires_grad_()
    good = step_loss(Objective(kl=0.0), STEP, one, closer, torch.ones(6), EVERYONE)
    assert (good.ratio > 1.0 + 1e-4).all()
    assert good.clipped.all()
    assert torch.autograd.grad(good.loss, closer)[0].abs().max() == 0.0
    # What is bad has to go down again, however far it is.
    bad = step_loss(Objective(kl=0.0), STEP, one, closer, -torch.ones(6), EVERYONE)
    assert not bad.clipped.any()
    assert torch.autograd.grad(bad.loss, closer)[0].abs().max() > 0.0


def test_what_was_not_measured_moves_nothing_and_is_not_counted() -> None:
    one = drawn()
    counts = torch.tensor([True, True, False, True, False, True])
    advantages = torch.tensor([1.0, -1.0, 9.0, 0.5, -9.0, 0.2])
    reference = one.mean + 0.3
    mean = (one.mean + 0.01).requires_grad_()
    objective = Objective(clip=10.0, kl=0.04)
    whole = step_loss(objective, STEP, one, mean, advantages, counts / counts.sum(), reference)
    (gradient,) = torch.autograd.grad(whole.loss, mean)
    assert gradient[~counts].abs().max() == 0.0
    alone = Drawn(one.before[counts], one.after[counts], one.mean[counts])
    part = mean.detach()[counts].requires_grad_()
    rest = step_loss(objective, STEP, alone, part, advantages[counts], torch.full((4,), 0.25), reference[counts])
    assert whole.loss.item() == pytest.approx(rest.loss.item(), abs=1e-6)
    assert torch.allclose(gradient[counts], torch.autograd.grad(rest.loss, part)[0], atol=1e-7)
    nobody = step_loss(objective, STEP, one, mean, advantages, torch.zeros(6), reference)
    assert nobody.loss.item() == 0.0


def test_the_divergence_is_that_of_normal_distributions() -> None:
    one = drawn()
    reference = one.mean + 0.3
    found = step_loss(Objective(kl=0.5), STEP, one, one.mean, torch.zeros(6), EVERYONE, reference)
    expected = 0.3**2 / (2.0 * STEP.std**2)
    assert found.kl.tolist() == pytest.approx([expected] * 6, rel=1e-5)
    assert found.loss.item() == pytest.approx(0.5 * expected, rel=1e-5)
    with pytest.raises(ValueError, match="needs the reference"):
        step_loss(Objective(kl=0.5), STEP, one, one.mean, torch.zeros(6), EVERYONE)


def test_guarded_ratios_are_centred_whatever_the_step() -> None:
    """Of a policy that has moved, log-ratios of every step have mean 0 and one deviation; plain ones have neither."""
    steps = trajectory([1.0, 0.75, 0.5, 0.25, 0.0], "sde", 0.7)
    spreads: dict[bool, list[float]] = {False: [], True: []}
    for step in (steps[0], steps[2]):
        generator = torch.Generator().manual_seed(2)
        old = torch.randn(20_000, 8, generator=generator)
        moved = Drawn(old, draw(old, step, torch.randn(old.shape, generator=generator)), old)
        for guard, found in spreads.items():
            ratio = step_loss(
                Objective(kl=0.0, guard=guard),
                step,
                moved,
                old + 0.5,
                torch.zeros(20_000),
                torch.full((20_000,), 1.0 / 20_000.0),
            ).ratio.log()
            assert abs(ratio.mean().item()) < 0.01 or not guard
            if not guard:
                assert ratio.mean().item() == pytest.approx(-(0.5**2) / (2 * step.std**2), rel=0.1)
            found.append(ratio.std().item())
    assert spreads[True][0] == pytest.approx(spreads[True][1], rel=0.02)
    assert spreads[False][0] < 0.7 * spreads[False][1]


@pytest.mark.parametrize("wrong", [{"clip": 0.0}, {"kl": -1.0}, {"max_advantage": 0.0}])
def test_an_objective_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Objective(**wrong)  # type: ignore[arg-type]  # that is the point
