"""What a trainer does about rewards that were not measured: GRPO's advantages over those that were. Pure, but a budget.

Let r be an edit's true reward and p(r) the chance that judging it fails. A group's mean over its measured members
estimates E[r | measured], which differs from E[r] by -Cov(r, p) / (1 - E[p]): nothing where failures do not depend on
the reward, and the same shift for all members, which a baseline is free to have. What is lost is that edits which fail
more often count less: the gradient is that of E[(1 - p(r)) (r - b)].

Counting a failure as 0 estimates E[r] - E[r p(r)] instead: wrong by E[p] E[r] even where failures depend on nothing,
and every failed edit gets an advantage of about -E[r] / std, so that the editor learns to avoid what the judge fails
on, however good it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edit_rrm_client.errors import FailureBudgetError
from edit_rrm_client.group import GroupResult

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How many failures a group, and a run, can take."""

    min_valid: int = 2
    """A group with fewer measured rewards is dropped: one has nothing to be compared with."""
    max_failed: float = 0.25
    """Share of the last `window` edits that may fail before the run is stopped."""
    window: int = 2_048
    """Edits that the share is taken over; before there were as many, nothing is stopped."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.min_valid < 2:
            raise ValueError("min_valid is at least 2: a single reward has no advantage over anything")
        if not 0.0 <= self.max_failed <= 1.0 or self.window < 1:
            raise ValueError("max_failed is a share from 0 to 1, and window at least 1 edit")


def group_advantages(
    rewards: npt.ArrayLike,
    mask: npt.ArrayLike,
    policy: FailurePolicy | None = None,
    *,
    scale: bool = True,
    epsilon: float = 1e-4,
) -> tuple[Floats, Flags]:
    """GRPO's advantages within groups, over the members that were measured.

    Args:
        rewards: Shape (..., N), a group along the last axis; what `mask` leaves out may be anything, NaN included.
        mask: Which rewards were measured, same shape.
        policy: Says how many of a group have to be; the defaults where left out.
        scale: Divide by the group's standard deviation (GRPO), or only subtract its mean (Dr. GRPO).
        epsilon: Added to that deviation; TRL's and flow_grpo's where left out. One as large as differences that mean
            nothing keeps them small in groups that have no others.

    Returns:
        Advantages, 0 where there is none, and which members count; all of a group that was dropped do not. Both of the
        same shape as `rewards`.

    Raises:
        ValueError: The shapes differ, or a reward that counts is not finite.
    """
    values, valid = np.asarray(rewards, np.float64), np.asarray(mask, np.bool_)
    if values.shape != valid.shape or values.ndim == 0:
        raise ValueError(f"rewards of shape {values.shape} do not go with a mask of shape {valid.shape}")
    if not np.isfinite(values[valid]).all():
        raise ValueError("a reward that the mask says was measured is not finite")
    least = (policy or FailurePolicy()).min_valid
    count = valid.sum(-1, keepdims=True)
    counts = valid & (count >= least)
    values = np.where(valid, values, 0.0)
    mean = values.sum(-1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(counts, values - mean, 0.0)
    if scale:
        # Sample standard deviation, as torch.std takes it.
        deviation = np.sqrt((centred**2).sum(-1, keepdims=True) / np.maximum(count - 1, 1))
        centred = centred / (deviation + epsilon)
    return centred.astype(np.float32), counts


class FailureBudget:
    """Stops a run whose judge fails too often: what it learns from the rest is no longer what was meant."""

    def __init__(self, policy: FailurePolicy | None = None) -> None:
        """Start with nothing seen."""
        self._policy = policy or FailurePolicy()
        self._recent: deque[bool] = deque(maxlen=self._policy.window)

    @property
    def failed(self) -> float:
        """Share of recent edits that failed, 0 to 1."""
        return 0.0 if not self._recent else 1.0 - sum(self._recent) / len(self._recent)

    def observe(self, results: Iterable[GroupResult]) -> None:
        """Count a step's groups.

        Raises:
            FailureBudgetError: Too many of the recent edits failed.
        """
        seen = list(results)
        self.observe_measured([bool(one) for result in seen for one in result.mask], reason_of(seen))

    def observe_measured(self, measured: Iterable[bool], why: str | None = None) -> None:
        """Count edits by whether they were measured; `why` is the last reason of those that were not.

        Raises:
            FailureBudgetError: Too many of the recent edits failed.
        """
        self._recent.extend(measured)
        if len(self._recent) == self._policy.window and self.failed > self._policy.max_failed:
            raise FailureBudgetError(
                f"{self.failed:.1%} of the last {self._policy.window} edits were not scored, and "
                f"{self._policy.max_failed:.0%} may be; look at the service before going on. The last reason: {why}",
                code="failure_budget",
            )


def reason_of(results: Sequence[GroupResult]) -> str | None:
    """Why an edit was not measured, the last one's; None where all were."""
    errors = [one.error for result in results for one in result.results if one.error is not None]
    return f"{errors[-1].code}: {errors[-1].message}" if errors else None
