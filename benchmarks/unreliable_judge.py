"""A judge that measures nothing of some edits: what a trainer meets when a service is in trouble."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward
from edit_rrm_client import Group, GroupResult
from edit_rrm_training.editor.scoring import Judge


class UnreliableJudge:
    """Asks another judge, and loses a share of what it says."""

    def __init__(self, judge: Judge, *, share: float, as_zero: bool = False) -> None:
        """Lose so much.

        Args:
            judge: Is asked.
            share: Of edits, 0 to 1; which ones depends on their pixels alone, and on nothing that matters.
            as_zero: Whether what was lost is told as a measured 0, as many reward functions do it.
        """
        self._judge = judge
        self._share = share
        self._as_zero = as_zero

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        """Judge groups."""
        found = self._judge.score_groups(groups, mode=mode, aggregation=aggregation)
        return [self._damaged(group, result) for group, result in zip(groups, found, strict=True)]

    def _damaged(self, group: Group, result: GroupResult) -> GroupResult:
        results = tuple(
            self._lost(reward) if _chance(edit) < self._share else reward
            for edit, reward in zip(group.edited, result.results, strict=True)
        )
        return replace(result, results=results)

    def _lost(self, reward: Reward) -> Reward:
        if self._as_zero and reward.reward is not None:
            return reward.model_copy(update={"score": 0.0, "reward": 0.0})
        error = ErrorDetail(code="timed_out", message="lost on purpose", retryable=True)
        return Reward(outcome=Outcome.TIMED_OUT, error=error)


def _chance(edit: object) -> float:
    """A number from 0 to 1 that an edit's content decides."""
    if not isinstance(edit, Image.Image):
        raise TypeError(f"an image was expected, not {type(edit).__name__}")
    buffer = io.BytesIO()
    edit.save(buffer, "BMP")
    return int.from_bytes(hashlib.sha256(buffer.getvalue()).digest()[:6]) / 2**48
