"""Learning from finished pictures: flow matching as a density, so that rollouts need no noise on the way (AWM).

Advantage Weighted Matching (arXiv 2509.25050) takes for a picture x_0's log-density, up to a constant, how well the
policy predicts the velocities of straight paths to it::

    log p(x_0) ~ -E_{t, e} |v(x_t, t) - (e - x_0)|^2 / (2 sigma^2)        x_t = (1 - t) x_0 + t e

which is what pre-training maximises. Put into GRPO's objective it is a step like any other: the policy's velocity is
the mean of a normal density, of which the true velocity was "drawn". Edits are drawn as they are for people, by Euler's
steps, and what differs between them (where they began) is what is learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edit_rrm_training.editor.grpo import Drawn
from edit_rrm_training.editor.policies.base import Condition, EditPolicy, seeded_noise
from edit_rrm_training.editor.sampling import Rollouts, drawn_to_the_end, seed_of
from edit_rrm_training.editor.sde import Step

_LEAST_TIME = 0.02
"""At time 0 nothing is left to predict."""
_NOISE = 1_000_003
"""Keeps the noise of paths apart from the noise that edits begin with."""


def match_times(seed: int, count: int, shift: float = 1.0) -> tuple[float, ...]:
    """Times of paths, falling, one in each of as many parts of 0 to 1.

    Args:
        seed: Of where they lie within their parts.
        count: How many.
        shift: 1 for parts of one length; more moves them towards noise, by the formula that diffusers' flow-matching
            schedulers shift theirs with.
    """
    within = np.random.default_rng(seed).random(count)
    even = [(count - 1 - part + float(within[part])) / count for part in range(count)]
    return tuple(max(_LEAST_TIME, shift * time / (1.0 + (shift - 1.0) * time)) for time in even)


@torch.no_grad()
def roll_out_matched(
    policy: EditPolicy,
    condition: Condition,
    steps: Sequence[Step],
    seeds: Sequence[int],
    times: Sequence[float],
    deviation: float,
    path_seed: int,
) -> Rollouts:
    """Draw edits of one prompt without noise on the way, and paths to what they ended in.

    At one time all paths begin with the same noise (common random numbers). What it adds to each edit's gradient is
    much the same, and advantages of a group sum to 0: what is left is where the edits differ.

    Args:
        policy: The model.
        condition: What B edits start from.
        steps: From noise to a picture, none of them stochastic.
        seeds: Of each edit.
        times: Of the paths; each is a step that can be learnt from.
        deviation: The density's sigma: how far a ratio leaves 1 for a velocity that is predicted better or worse.
        path_seed: Of the noise that paths begin with, one for a group.
    """
    latents, _ = drawn_to_the_end(policy, condition, steps, seeds)
    drawn = {}
    for number, time in enumerate(times):
        noise = seeded_noise(tuple(latents.shape[1:]), [seed_of(path_seed, _NOISE, number)]).to(latents.device)
        before = (1.0 - time) * latents.float() + time * noise
        velocity = policy.velocity(before, time, condition).float()
        drawn[number] = Drawn(before.cpu(), (noise - latents.float()).cpu(), velocity.cpu())
    matched = tuple(Step(time, 0.0, "match", deviation) for time in times)
    return Rollouts(condition, matched, drawn, tuple(policy.decode(latents, condition)))
