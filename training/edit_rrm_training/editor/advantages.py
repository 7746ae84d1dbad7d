"""Advantages of a step's groups: GRPO's, of each group by itself or with the spread of the whole step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from edit_rrm_client.failure_policy import FailurePolicy, group_advantages

Spread = Literal["group", "global", "none"]
"""What a reward's distance from its group's mean is divided by: the deviation of its ``group`` (paper, eq. 5), of the
``global`` step (Flow-GRPO's configurations), or nothing (Dr. GRPO)."""


def advantages_of(
    rewards: Sequence[npt.NDArray[np.float32]],
    spread: Spread,
    policy: FailurePolicy,
    deviation: float | None = None,
    *,
    epsilon: float = 1e-4,
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Advantages of groups, and which members count.

    Args:
        rewards: Of each group, (N,); NaN where nothing was measured.
        spread: What distances are divided by.
        policy: Says how many of a group have to be measured.
        deviation: Of all rewards of the step, on all devices (`deviation_of`); needed for ``global``.
        epsilon: Added to the deviation.

    Raises:
        ValueError: There is no deviation where there has to be one.
    """
    found = []
    for group in rewards:
        advantages, counts = group_advantages(group, ~np.isnan(group), policy, scale=spread == "group", epsilon=epsilon)
        if spread == "global":
            if deviation is None:
                raise ValueError("a global spread needs the step's deviation")
            advantages = (advantages / (deviation + epsilon)).astype(np.float32)
        found.append((advantages, counts))
    return found


def deviation_of(rewards: npt.NDArray[np.float32]) -> float:
    """Standard deviation of a step's measured rewards; 0 where there are fewer than two."""
    measured = rewards[~np.isnan(rewards)]
    return float(measured.std(ddof=1)) if len(measured) > 1 else 0.0
