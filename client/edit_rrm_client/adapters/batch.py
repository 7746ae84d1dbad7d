"""A flat batch of edits, as trainers hold it: grouped for the service, and back in the batch's order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edit_rrm.verdicts import Mode, Reward
from edit_rrm_client.failure_policy import FailureBudget
from edit_rrm_client.group import Group, GroupResult, raise_unscored, rewards_of
from edit_rrm_client.images import ImageInput, encode_image


class Scorer(Protocol):
    """What is asked of a client; `RewardClient` provides it."""

    def score_groups(self, groups: Sequence[Group], *, mode: Mode = Mode.THINK) -> list[GroupResult]:
        """Judge groups."""


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch, in its order."""

    results: tuple[Reward, ...]
    groups: tuple[tuple[int, ...], ...]
    """Places in the batch of each group's edits: those of one instruction and source."""

    @cached_property
    def rewards(self) -> npt.NDArray[np.float32]:
        """Rewards from 0 to 1, shape (N,); NaN where `mask` is false."""
        return rewards_of(self.results)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which rewards were measured, shape (N,)."""
        return ~np.isnan(self.rewards)

    def neutral(self) -> npt.NDArray[np.float32]:
        """Rewards for a trainer that knows no mask: what was not measured gets the mean of what was, in its group.

        Where whole groups are in the batch, GRPO's advantage of such an entry is 0 and that of the others has the right
        sign and order; only the group's standard deviation is a little smaller. Where a trainer spreads its groups
        over devices, the mean is that of a part: see `neutralised`. Where nothing of a group was measured, the whole
        batch's mean stands in, and all its advantages are 0.

        Returns:
            Finite rewards, shape (N,).

        Raises:
            UnscoredError: Nothing of the batch was measured: there is nothing to learn from, and no number to give.
        """
        if not self.mask.any():
            raise_unscored(GroupResult(self.results))
        keys = {place: number for number, places in enumerate(self.groups) for place in places}
        return neutralised(self.rewards, self.mask, [keys[place] for place in range(len(self.results))])


def neutralised(rewards: npt.ArrayLike, measured: npt.ArrayLike, keys: Sequence[Hashable]) -> npt.NDArray[np.float32]:
    """Rewards with the mean of its group for what was not measured.

    Args:
        rewards: Shape (N,) or (N, ...), such as one for each time step; what was not measured may be anything.
        measured: Which were, shape (N,).
        keys: Of each entry's group, length N: its instruction and source.

    Returns:
        Finite rewards of the same shape. Of a group of which nothing was measured, the mean of all.

    Raises:
        ValueError: The lengths differ, or nothing was measured at all.
    """
    values, valid = np.array(rewards, np.float32), np.asarray(measured).astype(np.bool_).reshape(-1)
    if not len(values) == len(valid) == len(keys):
        raise ValueError(f"{len(values)} rewards, {len(valid)} flags and {len(keys)} keys")
    if not valid.any():
        raise ValueError("nothing was measured: there is no mean to give")
    overall = values[valid].mean(0)
    members: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        members.setdefault(key, []).append(place)
    for listed in members.values():
        places = np.array(listed)
        known = places[valid[places]]
        values[places[~valid[places]]] = values[known].mean(0) if len(known) else overall
    return values


def score_batch(
    client: Scorer,
    instructions: Sequence[str],
    sources: Sequence[ImageInput],
    edited: Sequence[ImageInput],
    *,
    mode: Mode = Mode.THINK,
    budget: FailureBudget | None = None,
) -> BatchResult:
    """Judge a flat batch. Edits of one instruction and source go to the service together, in any order.

    Args:
        client: Asks the service.
        instructions: Of each edit, length N.
        sources: Of each edit, length N; equal ones are sent once.
        edited: N images, or an array or tensor of them.
        mode: How principles are verified.
        budget: Counts what failed, and stops the run where it is too much.

    Raises:
        ValueError: The lengths differ.
        FailureBudgetError: Too much failed.
        RewardClientError: As `RewardClient.score_groups`.
    """
    images, sources = list(edited), list(sources)
    if not len(instructions) == len(sources) == len(images):
        raise ValueError(f"{len(instructions)} instructions, {len(sources)} sources and {len(images)} edits")
    # A trainer repeats one source object for a whole group; each object is encoded once.
    encoded: dict[int, bytes] = {}
    for source in sources:
        if id(source) not in encoded:
            encoded[id(source)] = encode_image(source)
    places = grouped(instructions, [encoded[id(source)] for source in sources])
    groups = [
        Group(instruction, source, [images[place] for place in members])
        for (instruction, source), members in places.items()
    ]
    answers = client.score_groups(groups, mode=mode)
    if budget is not None:
        budget.observe(answers)
    return BatchResult(in_order(places.values(), answers), tuple(tuple(members) for members in places.values()))


def grouped(instructions: Sequence[str], sources: Sequence[bytes]) -> dict[tuple[str, bytes], list[int]]:
    """Places in a batch of the edits of each instruction and source file, in the order of their first edits."""
    places: dict[tuple[str, bytes], list[int]] = {}
    for place, key in enumerate(zip(instructions, sources, strict=True)):
        places.setdefault(key, []).append(place)
    return places


def in_order(places: Iterable[Sequence[int]], answers: Iterable[GroupResult]) -> tuple[Reward, ...]:
    """Results of groups, put back to the places of their edits in the batch."""
    ordered: dict[int, Reward] = {}
    for members, answer in zip(places, answers, strict=True):
        ordered.update(zip(members, answer.results, strict=True))
    return tuple(ordered[place] for place in sorted(ordered))
