"""What is logged of a step of training: all devices' rewards, what the updates did, and where the seconds went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edit_rrm_training.editor.learner import Experience, Update
from edit_rrm_training.editor.scoring import Scored, parts_of


def group_rows(scored: Sequence[Scored], experiences: Sequence[Experience]) -> Any:
    """A row for each group of this device, to be gathered from all.

    Returns:
        Shape (groups, 2 + 2 parts), fp32: 1 if it teaches nothing, its spread (NaN for none), and of each part of its
        rewards sum and number of what was measured.
    """
    rows = [
        [
            float(not experience.teaches),
            one.rewards[one.mask].std() if one.mask.sum() > 1 else np.nan,
            *(value for part in parts_of(one).values() for value in (np.nansum(part), (~np.isnan(part)).sum())),
        ]
        for one, experience in zip(scored, experiences, strict=True)
    ]
    return np.array(rows, np.float32)


def reward_values(everyone: Any, groups: Any, names: Sequence[str]) -> dict[str, float]:
    """Means over all devices' edits, each of what was measured; no name where nothing was.

    Args:
        everyone: Rewards of all edits, NaN where they were not measured.
        groups: The rows of all groups.
        names: Of the parts of the rewards.
    """
    measured = everyone[~np.isnan(everyone)]
    dead, spreads, *parts = groups.T
    values = {"masked": 1.0 - len(measured) / len(everyone), "dead_groups": float(np.mean(dead > 0.0))}
    if len(measured):
        values["reward"] = float(measured.mean())
    if not np.isnan(spreads).all():
        values["group_spread"] = float(np.nanmean(spreads))
    sums, counts = ([part.sum() for part in parts[first::2]] for first in (0, 1))
    means = {name: float(total / count) for name, total, count in zip(names, sums, counts, strict=True) if count}
    return values | means


def update_values(made: Sequence[Update]) -> dict[str, float]:
    """Means over a step's updates, and how many there were: none where nothing taught anything."""
    names = ("loss", "grad_norm", "ratio_deviation", "clipped", "kl")
    means = {name: float(np.mean([getattr(one, name) for one in made])) for name in names} if made else {}
    return {"updates": float(len(made)), **means}


def second_values(scored: Sequence[Scored], sampling: float, waited: float, updating: float) -> dict[str, float]:
    """How long each part took, and how much of the scoring nobody waited for."""
    scoring = max(one.ended for one in scored) - min(one.began for one in scored)
    return {
        "sampling_s": sampling,
        "scoring_s": scoring,
        "waited_s": waited,
        "updating_s": updating,
        "hidden": 1.0 - min(1.0, waited / scoring) if scoring > 0.0 else 1.0,
    }
