"""Updates: one gradient however samples are batched, nothing learnt of groups without spread, and an end to NaN."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from edit_rrm_client import FailurePolicy
from edit_rrm_training.editor.advantages import Spread, advantages_of, deviation_of
from edit_rrm_training.editor.grpo import Objective
from edit_rrm_training.editor.learner import Experience, Learner
from edit_rrm_training.editor.optimisation import AccelerateOptimisation
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.editor.trained import Trained
from edit_rrm_training.judge.checkpoints import DivergedError
from tests.training.editor.toy_policy import ToyPolicy

SOURCE = Image.new("RGB", (8, 8), "red")
INSTRUCTIONS = ("make it", "make it blue")


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def experiences(policy: ToyPolicy, step: int = 0, size: int = 6, kind: Any = "sde") -> list[Experience]:
    """Two groups, whose reward is how blue an edit is; one of each was not measured."""
    found = []
    for number, instruction in enumerate(INSTRUCTIONS):
        condition = policy.encode([SOURCE] * size, [instruction] * size)
        steps = trajectory(policy.times(4, condition), kind, 0.7, stochastic=range(3))
        rollouts = roll_out(policy, condition, steps, [seed_of(step, number, member) for member in range(size)])
        rewards = np.array([blue(picture) for picture in rollouts.pictures], np.float32)
        rewards[number] = np.nan
        ((advantages, counts),) = advantages_of([rewards], "group", FailurePolicy())
        found.append(Experience(rollouts, advantages, counts))
    return found


def blue(picture: Image.Image) -> float:
    pixel = picture.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return float(pixel[2]) / 255.0


def learner(policy: ToyPolicy, accelerator: Accelerator, rate: float = 0.0, **settings: Any) -> Learner:
    module, optimizer = accelerator.prepare(policy.trained, torch.optim.SGD(policy.trained.parameters(), lr=rate))
    policy.use(module)
    objective = settings.pop("objective", Objective(clip=0.2, kl=0.0))
    norm = settings.pop("max_grad_norm", 1.0)
    steps = AccelerateOptimisation(accelerator, Trained(module), optimizer, max_grad_norm=norm)
    return Learner(policy, steps, accelerator, objective, **settings)


def change(policy: ToyPolicy, made: Sequence[Experience], accelerator: Accelerator, **settings: Any) -> torch.Tensor:
    """What one update changes."""
    before = torch.nn.utils.parameters_to_vector(policy.trained.parameters()).detach().clone()
    found = learner(policy, accelerator, rate=1.0, max_grad_norm=1e9, **settings).update(made)
    assert found is not None
    assert found.samples == 10
    # But for rounding, where passes are of other sizes than those that drew.
    assert found.ratio_deviation == pytest.approx(0.0, abs=1e-6), "nothing has moved yet, so every ratio is 1"
    return torch.nn.utils.parameters_to_vector(policy.trained.parameters()).detach() - before


def test_the_update_does_not_depend_on_the_batches(accelerator: Accelerator) -> None:
    changes = []
    for size in (6, 2, 1):
        policy = ToyPolicy()
        changes.append(change(policy, experiences(policy), accelerator, micro_batch=size))
    assert changes[0].abs().max() > 0.0
    assert torch.allclose(changes[0], changes[1], atol=1e-6)
    assert torch.allclose(changes[0], changes[2], atol=1e-6)


def test_a_policy_learns_what_is_rewarded(accelerator: Accelerator) -> None:
    policy = ToyPolicy()
    module, optimizer = accelerator.prepare(policy.trained, torch.optim.Adam(policy.trained.parameters(), lr=5e-3))
    policy.use(module)
    steps = AccelerateOptimisation(accelerator, Trained(module), optimizer)
    learning = Learner(policy, steps, accelerator, Objective(clip=0.2, kl=0.0))
    first, last = 0.0, 0.0
    for step in range(60):
        made = experiences(policy, step, size=16)
        reward = float(np.mean([blue(picture) for one in made for picture in one.rollouts.pictures]))
        first += reward * (step < 5)
        last += reward * (step >= 55)
        learning.update(made)
    assert last / 5 > first / 5 + 0.15


def test_groups_without_spread_are_left_out_and_nothing_is_no_update(accelerator: Accelerator) -> None:
    policy = ToyPolicy()
    made = experiences(policy)
    flat = Experience(made[0].rollouts, np.zeros(6, np.float32), np.ones(6, bool))
    assert not flat.teaches
    before = [value.detach().clone() for value in policy.trained.parameters()]
    assert learner(policy, accelerator, rate=1.0).update([flat]) is None
    assert all(torch.equal(one, other) for one, other in zip(before, policy.trained.parameters(), strict=True))
    found = learner(policy, accelerator).update([flat, made[1]])
    assert found is not None
    assert found.samples == 5


def test_a_gradient_that_is_no_number_stops_before_the_step(accelerator: Accelerator) -> None:
    policy = ToyPolicy()
    made = experiences(policy)
    broken = made[0].rollouts.drawn[1]
    broken.before[2] = float("nan")
    before = [value.detach().clone() for value in policy.trained.parameters()]
    with pytest.raises(DivergedError, match="the step was not made"):
        learner(policy, accelerator, rate=1.0).update(made)
    assert all(torch.equal(one, other) for one, other in zip(before, policy.trained.parameters(), strict=True))


def test_the_reference_holds_the_policy_back(accelerator: Accelerator) -> None:
    policy, frozen = ToyPolicy(), ToyPolicy()
    made = experiences(policy)
    with torch.no_grad():
        for value in policy.trained.parameters():
            value.add_(0.05)

    @contextmanager
    def as_before() -> Any:
        trained = policy.trained
        policy.use(frozen.trained)
        yield
        policy.use(trained)

    silent = [Experience(one.rollouts, one.advantages * 1e-9, one.counts) for one in made]
    objective = Objective(clip=0.2, kl=1.0)
    learning = learner(policy, accelerator, rate=1e-2, objective=objective, reference=as_before)
    first = learning.update(silent)
    second = learning.update(silent)
    assert first is not None
    assert second is not None
    assert 0.0 < second.kl < first.kl
    with pytest.raises(ValueError, match="needs a reference"):
        learner(policy, accelerator, objective=objective)


@pytest.mark.parametrize("spread", ["group", "global", "none"])
def test_advantages_are_centred_in_every_group_and_scaled_as_asked(spread: Spread) -> None:
    groups = [np.array([0.2, 0.4, np.nan, 0.9], np.float32), np.array([0.5, 0.5, 0.5, 0.5], np.float32)]
    deviation = deviation_of(np.concatenate(groups))
    found = advantages_of(groups, spread, FailurePolicy(), deviation)
    for (advantages, counts), rewards in zip(found, groups, strict=True):
        assert counts.tolist() == (~np.isnan(rewards)).tolist()
        assert advantages[counts].sum() == pytest.approx(0.0, abs=1e-4)
        assert (advantages[~counts] == 0.0).all()
    scale = {"group": float(np.nanstd(groups[0], ddof=1)), "global": deviation, "none": 1.0}[spread]
    assert found[0][0][3] == pytest.approx(0.4 / scale, rel=1e-3)
    assert (found[1][0] == 0.0).all()
    assert deviation_of(np.array([np.nan, 0.3], np.float32)) == 0.0
    with pytest.raises(ValueError, match="needs the step's deviation"):
        advantages_of(groups, "global", FailurePolicy())
