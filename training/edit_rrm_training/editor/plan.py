"""Which prompts a step trains on, in what noise, and where it draws: all from the run's seed and the step. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edit_rrm_training.editor.sampling import seed_of


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """One group of a step."""

    prompt: int
    """Its number among the prompts."""
    seeds: tuple[int, ...]
    """Of each edit's noise."""


def plan_step(seed: int, step: int, *, prompts: int, groups: int, group_size: int) -> tuple[GroupPlan, ...]:
    """A step's groups, the same whatever devices there are and whatever happened before.

    Prompts are gone through in an order that is drawn anew for every pass over them.

    Args:
        seed: The run's.
        step: From 0.
        prompts: How many there are.
        groups: Of a step.
        group_size: Edits of a group.
    """
    found = []
    for number in range(step * groups, (step + 1) * groups):
        epoch, place = divmod(number, prompts)
        prompt = _shuffled(seed, epoch, prompts, place)
        place_in_step = number - step * groups
        seeds = tuple(seed_of(seed, 1, step, place_in_step, member) for member in range(group_size))
        found.append(GroupPlan(prompt, seeds))
    return tuple(found)


def window_of(seed: int, step: int, *, steps: int, window: int | None, within: int | None = None) -> range:
    """Steps of a trajectory that draw: all, or a window of them at a place that is drawn for every step.

    Args:
        seed: The run's.
        step: From 0.
        steps: Of a trajectory that can draw, its first ones.
        window: How many draw; all of those the window may be in where left out.
        within: The window is among the first so many; left out, anywhere.
    """
    among = steps if within is None else min(within, steps)
    if window is None:
        return range(among)
    first = int(np.random.default_rng([seed, 2, step]).integers(among - window + 1))
    return range(first, first + window)


def _shuffled(seed: int, epoch: int, count: int, place: int) -> int:
    """Place `place` of a permutation of `count`, without writing a long one down."""
    if count <= _LISTED:
        return int(np.random.default_rng([seed, 0, epoch]).permutation(count)[place])
    # A Feistel network over the next power of four, walked until it is within: a permutation of any size.
    half = (count - 1).bit_length() + 1 >> 1
    mask = (1 << half) - 1
    value = place
    while True:
        left, right = value >> half, value & mask
        for turn in range(4):
            left, right = right, left ^ (seed_of(seed, 3, epoch, turn, right) & mask)
        value = (left << half) | right
        if value < count:
            return value


_LISTED = 100_000
