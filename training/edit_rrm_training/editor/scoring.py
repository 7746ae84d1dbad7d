"""Rewards of rollouts, scored while other things go on: a step's first groups are judged while its last are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client.group import Group, GroupResult
from edit_rrm_training.editor.prompts import Prompt

Extra = Callable[[Prompt, Sequence[Image.Image]], npt.NDArray[np.float32]]
"""A reward of our own, of N edits: shape (N,), finite."""


class Judge(Protocol):
    """What is asked of a client; `RewardClient` provides it."""

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        """Judge groups."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rewards of one group of N edits."""

    result: GroupResult
    """The judge's: verdicts and reasoning."""
    extras: dict[str, npt.NDArray[np.float32]]
    """Other rewards by name, (N,)."""
    rewards: npt.NDArray[np.float32]
    """The weighted sum, (N,); NaN where the judge measured nothing."""
    began: float
    ended: float
    """When it was asked and answered, by `time.monotonic`."""

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which rewards were measured, (N,)."""
        return self.result.mask


@dataclass(frozen=True, slots=True)
class Weighted:
    """A reward of our own and its weight beside the judge's 1."""

    name: str
    weight: float
    score: Extra


class Scorer:
    """Has groups judged in the background, in the order they come."""

    def __init__(
        self,
        judge: Judge,
        *,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        extras: Sequence[Weighted] = (),
        in_flight: int = 8,
    ) -> None:
        """Judge by these.

        Args:
            judge: Asks the service.
            mode: How principles are verified.
            aggregation: How verdicts become a reward; the service's own way where left out.
            extras: Rewards that are added to the judge's.
            in_flight: Groups under way at a time.
        """
        self._judge = judge
        self._mode = mode
        self._aggregation = aggregation
        self._extras = tuple(extras)
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="edit-rrm-scoring")

    def submit(self, prompt: Prompt, edits: Sequence[Image.Image]) -> Future[Scored]:
        """Ask for a group's rewards; returns at once.

        The future raises `RewardClientError` where nothing can be measured: a wrong key, another judge than the pinned.
        """
        return self._pool.submit(self._scored, prompt, list(edits))

    def close(self) -> None:
        """Give up what is still under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _scored(self, prompt: Prompt, edits: list[Image.Image]) -> Scored:
        began = time.monotonic()
        group = Group(prompt.instruction, prompt.file, edits)
        (result,) = self._judge.score_groups([group], mode=self._mode, aggregation=self._aggregation)
        extras = {extra.name: np.asarray(extra.score(prompt, edits), np.float32) for extra in self._extras}
        rewards = result.rewards.copy()
        for extra in self._extras:
            rewards += np.float32(extra.weight) * extras[extra.name]
        return Scored(result, extras, rewards, began, time.monotonic())
