"""Learning from finished pictures: the density is flow matching's, and what is learnt is what was rewarded."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm_client import FailurePolicy
from edit_rrm_training.editor.advantages import advantages_of
from edit_rrm_training.editor.grpo import LossName, Objective, step_loss
from edit_rrm_training.editor.learner import Experience, Learner
from edit_rrm_training.editor.matching import match_times, roll_out_matched
from edit_rrm_training.editor.optimisation import AccelerateOptimisation
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.sampling import Rollouts, drawn_to_the_end, roll_out, seed_of
from edit_rrm_training.editor.sde import log_density, mean_of, trajectory
from edit_rrm_training.editor.trained import Trained
from tests.training.editor.test_learner import blue
from tests.training.editor.toy_policy import ToyPolicy

SOURCE = Image.new("RGB", (8, 8), "red")
TIMES = (0.8, 0.3)
SIGMA = 0.7


def matched(policy: ToyPolicy, size: int = 4, step: int = 0, instruction: str = "make it blue") -> Rollouts:
    condition = policy.encode([SOURCE] * size, [instruction] * size)
    steps = trajectory(policy.times(4, condition), "ode", 0.0)
    seeds = [seed_of(step, len(instruction), member) for member in range(size)]
    return roll_out_matched(policy, condition, steps, seeds, TIMES, SIGMA, step)


@given(st.integers(0, 2**63 - 1))
def test_shifted_times_are_nearer_to_noise(seed: int) -> None:
    plain, shifted = match_times(seed, 2), match_times(seed, 2, 3.0)
    assert all(later >= time for time, later in zip(plain, shifted, strict=True))
    assert shifted[0] >= 0.75 >= shifted[1]


@given(st.integers(0, 2**63 - 1), st.integers(1, 12))
def test_times_lie_one_in_each_part_and_fall(seed: int, count: int) -> None:
    times = match_times(seed, count)
    assert len(times) == count
    assert times == match_times(seed, count)
    for part, time in zip(reversed(range(count)), times, strict=True):
        assert max(0.02, part / count) <= time <= max(0.02, (part + 1) / count)


def test_pictures_are_those_that_people_would_get() -> None:
    policy = ToyPolicy()
    found = matched(policy)
    condition = found.condition
    seeds = [seed_of(0, len("make it blue"), member) for member in range(4)]
    plain = roll_out(policy, condition, trajectory(policy.times(4, condition), "ode", 0.0), seeds)
    assert [one.tobytes() for one in found.pictures] == [one.tobytes() for one in plain.pictures]
    assert not plain.drawn, "nothing of it could be learnt from"


def test_paths_lead_to_the_pictures() -> None:
    policy = ToyPolicy()
    found = matched(policy)
    seeds = [seed_of(0, len("make it blue"), member) for member in range(4)]
    steps = trajectory(policy.times(4, found.condition), "ode", 0.0)
    end, _ = drawn_to_the_end(policy, found.condition, steps, seeds)
    noises = []
    for number, time in enumerate(TIMES):
        drawn, step = found.drawn[number], found.steps[number]
        assert (step.start, step.std, step.sampler) == (time, SIGMA, "match")
        # Along the true velocity, from where the path is to time 0, lies the picture.
        assert torch.allclose(drawn.before - time * drawn.after, end, atol=1e-5)
        assert torch.equal(
            mean_of(step, drawn.before, policy.velocity(drawn.before, time, found.condition)), drawn.mean
        )
        noises.append(drawn.after + end)
        assert torch.allclose(noises[-1], noises[-1][:1].expand(4, -1, -1), atol=1e-5), "a group's paths begin alike"
    assert not torch.allclose(noises[0], noises[1]), "at every time elsewhere"


def test_the_density_is_flow_matchings() -> None:
    policy = ToyPolicy()
    found = matched(policy)
    drawn, step = found.drawn[0], found.steps[0]
    other = drawn.mean + 0.3
    ratio = log_density(drawn.after, other, step) - log_density(drawn.after, drawn.mean, step)
    errors = [(drawn.after - mean).square().flatten(1).mean(1) for mean in (drawn.mean, other)]
    assert torch.allclose(ratio, (errors[0] - errors[1]) / (2 * SIGMA**2), atol=1e-6)


def test_the_first_update_is_pretraining_weighted_by_advantages() -> None:
    policy = ToyPolicy()
    found = matched(policy)
    advantages, weights = torch.tensor([1.0, -0.5, 0.0, 2.0]), torch.full((4,), 0.25)
    drawn, step = found.drawn[0], found.steps[0]

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(loss, list(policy.trained.parameters()))
        return torch.cat([part.flatten() for part in parts])

    velocity = policy.velocity(drawn.before, step.start, found.condition)
    loss = step_loss(
        Objective(clip=0.2, kl=0.0), step, drawn, mean_of(step, drawn.before, velocity), advantages, weights
    )
    assert (loss.ratio == 1.0).all()
    ours = gradient(loss.loss)
    velocity = policy.velocity(drawn.before, step.start, found.condition)
    errors = (velocity - drawn.after).square().flatten(1).mean(1)
    assert torch.allclose(ours, gradient((advantages * weights * errors).sum() / (2 * SIGMA**2)), atol=1e-6)


@pytest.mark.parametrize("loss", get_args(LossName))
def test_a_policy_learns_what_is_rewarded(loss: LossName) -> None:
    policy = ToyPolicy()
    accelerator = Accelerator(cpu=True)
    module, optimizer = accelerator.prepare(policy.trained, torch.optim.Adam(policy.trained.parameters(), lr=5e-3))
    policy.use(module)
    steps = AccelerateOptimisation(accelerator, Trained(module), optimizer)
    learning = Learner(policy, steps, accelerator, Objective(loss=loss, clip=0.2, kl=0.0))
    rewards: list[float] = []
    for step in range(60):
        made, seen = [], []
        for instruction in ("make it", "make it blue"):
            rollouts = matched(policy, 16, step, instruction)
            found = np.array([blue(picture) for picture in rollouts.pictures], np.float32)
            ((advantages, counts),) = advantages_of([found], "group", FailurePolicy())
            made.append(Experience(rollouts, advantages, counts))
            seen.append(found.mean())
        rewards.append(float(np.mean(seen)))
        learning.update(made)
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.15


def recipe(**sampling: Any) -> EditorRecipe:
    return EditorRecipe.model_validate(
        {
            "policy": {"kind": "flux-kontext", "model": "x"},
            "prompts": "shapes:train",
            "rewards": {"url": "http://x"},
            "sampling": {"sampler": "match", **sampling},
        }
    )


def test_a_recipe_may_match_at_more_times_than_it_draws_in_steps() -> None:
    assert recipe(window=8, steps=4).sampling.window == 8
    with pytest.raises(ValueError, match="edits that begin alike are all the same with sampler match"):
        recipe(same_start=True)
    with pytest.raises(ValueError, match="match is no sampler of trajectories"):
        trajectory([1.0, 0.0], "match", 0.7)
