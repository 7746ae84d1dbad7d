"""Rollouts: trajectories of a policy from noise to pictures, with what every stochastic step drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from edit_rrm_training.editor.grpo import Drawn
from edit_rrm_training.editor.policies.base import Condition, EditPolicy, seeded_noise
from edit_rrm_training.editor.sde import Step, draw, mean_of


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What a policy drew of B edits that share their steps."""

    condition: Condition
    """Of the B edits; one row where they all start from the same."""
    steps: tuple[Step, ...]
    drawn: Mapping[int, Drawn]
    """Of every stochastic step, by its number; on the CPU."""
    pictures: tuple[Image.Image, ...]
    """Length B, in the sizes of their sources."""


@torch.no_grad()
def roll_out(
    policy: EditPolicy,
    condition: Condition,
    steps: Sequence[Step],
    seeds: Sequence[int],
    starts: Sequence[int] | None = None,
) -> Rollouts:
    """Draw edits.

    Args:
        policy: The model.
        condition: What B edits start from.
        steps: From noise to a picture; see `sde.trajectory`.
        seeds: Of each edit's noise, all of it: an edit does not depend on what it is batched with, as far as the
            model's arithmetic allows.
        starts: Of the noise that edits begin with, where it is not to be their own.
    """
    latents, drawn = drawn_to_the_end(policy, condition, steps, seeds, starts)
    return Rollouts(condition, tuple(steps), drawn, tuple(policy.decode(latents, condition)))


@torch.no_grad()
def drawn_to_the_end(
    policy: EditPolicy,
    condition: Condition,
    steps: Sequence[Step],
    seeds: Sequence[int],
    starts: Sequence[int] | None = None,
) -> tuple[torch.Tensor, dict[int, Drawn]]:
    """The latents that a trajectory ends in, and what its stochastic steps drew, as `roll_out` draws them."""
    latents = policy.noise(condition, seeds if starts is None else starts)
    drawn: dict[int, Drawn] = {}
    for number, step in enumerate(steps):
        mean = mean_of(step, latents, policy.velocity(latents, step.start, condition))
        after = mean
        if step.stochastic:
            noise = seeded_noise(tuple(mean.shape[1:]), [seed_of(seed, number) for seed in seeds])
            after = draw(mean, step, noise.to(mean.device))
            drawn[number] = Drawn(latents.cpu(), after.cpu(), mean.cpu())
        latents = after
    return latents, drawn


def seed_of(*parts: int) -> int:
    """A seed from numbers, such as a run's, a step's and a sample's; different parts give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(2, np.uint64)[0] >> 1)
