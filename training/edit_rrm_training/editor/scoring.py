"""Rewards of rollouts, scored while other things go on: a step's first groups are judged while its last are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode, Reward
from edit_rrm_client.group import Group, GroupResult
from edit_rrm_training.editor.judge_recipe import JUDGE
from edit_rrm_training.editor.prompts import Prompt

Floats = npt.NDArray[np.float32]
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
    extras: dict[str, Floats]
    """Other rewards by name, (N,); NaN where a judge measured nothing."""
    rewards: Floats
    """The weighted sum, (N,); NaN where any of it was not measured."""
    began: float
    ended: float
    """When it was asked and answered, by `time.monotonic`."""
    others: Mapping[str, GroupResult] = field(default_factory=dict)
    """Of other judges by name."""

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which rewards were measured, (N,)."""
        return ~np.isnan(self.rewards)

    @property
    def combined(self) -> GroupResult:
        """The judge's result, but where another judge failed: there the first of those, which names itself."""
        results = list(self.result.results)
        for name, other in self.others.items():
            results = [
                _named(name, theirs) if ours.reward is not None and theirs.reward is None else ours
                for ours, theirs in zip(results, other.results, strict=True)
            ]
        return GroupResult(tuple(results))


@dataclass(frozen=True, slots=True)
class Weighted:
    """A reward of our own and its weight."""

    name: str
    weight: float
    score: Extra


@dataclass(frozen=True, slots=True)
class Asked:
    """A judge, how it is asked, and its rewards' weight."""

    name: str
    judge: Judge
    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    """The service's own way where left out."""
    weight: float = 1.0

    def about(self, group: Group) -> GroupResult:
        """Have a group judged."""
        (result,) = self.judge.score_groups([group], mode=self.mode, aggregation=self.aggregation)
        return result


class Scorer:
    """Has groups judged in the background, in the order they come."""

    def __init__(
        self,
        judge: Judge,
        *,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        weight: float = 1.0,
        others: Sequence[Asked] = (),
        extras: Sequence[Weighted] = (),
        in_flight: int = 8,
    ) -> None:
        """Judge by these.

        Args:
            judge: Asks the service.
            mode: How principles are verified.
            aggregation: How verdicts become a reward; the service's own way where left out.
            weight: Of the judge's rewards.
            others: Further judges, whose rewards are added to the judge's.
            extras: Rewards of our own that are added, too.
            in_flight: Groups under way at a time.
        """
        self._judge = Asked(JUDGE, judge, mode, aggregation, weight)
        self._others = tuple(others)
        self._extras = tuple(extras)
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="edit-rrm-scoring")
        # Of their own, so that no group waits for a thread that waits for its group; all judges are asked at once.
        self._beside = ThreadPoolExecutor(in_flight * max(1, len(self._others)), thread_name_prefix="edit-rrm-beside")

    def submit(self, prompt: Prompt, edits: Sequence[Image.Image]) -> Future[Scored]:
        """Ask for a group's rewards; returns at once.

        The future raises `RewardClientError` where nothing can be measured: a wrong key, another judge than the pinned.
        """
        return self._pool.submit(self._scored, prompt, list(edits))

    def close(self) -> None:
        """Give up what is still under way."""
        for pool in (self._pool, self._beside):
            pool.shutdown(wait=False, cancel_futures=True)

    def _scored(self, prompt: Prompt, edits: list[Image.Image]) -> Scored:
        began = time.monotonic()
        group = Group(prompt.instruction, prompt.file, edits)
        beside = {other.name: self._beside.submit(other.about, group) for other in self._others}
        result = self._judge.about(group)
        others = {name: future.result() for name, future in beside.items()}
        extras = {name: other.rewards for name, other in others.items()}
        extras |= {extra.name: np.asarray(extra.score(prompt, edits), np.float32) for extra in self._extras}
        weights = {one.name: one.weight for one in self._others} | {one.name: one.weight for one in self._extras}
        terms = [(self._judge.weight, result.rewards), *((weights[name], values) for name, values in extras.items())]
        return Scored(result, extras, weighted_sum(terms), began, time.monotonic(), others)


def weighted_sum(terms: Sequence[tuple[float, Floats]]) -> Floats:
    """The sum of rewards times their weights.

    Args:
        terms: Each a weight and rewards, (N,); NaN where nothing was measured. At least one.

    Returns:
        (N,); NaN where any term is, whatever its weight: a part of the sum is no measurement of it.
    """
    total = np.zeros_like(terms[0][1])
    for weight, rewards in terms:
        total += np.float32(weight) * rewards
    return total


def parts_of(one: Scored) -> dict[str, Floats]:
    """What a group's rewards are the sum of, each (N,), as logs name it; nothing where they are the judge's alone."""
    parts = {JUDGE: one.result.rewards, **one.extras} if one.extras else {}
    return {f"reward_{name}": values for name, values in parts.items()}


def reward_means(scored: Sequence[Scored]) -> dict[str, float]:
    """Means of what rewards are the sum of, each over what of it was measured; no name where nothing was."""
    parts = [parts_of(one) for one in scored]
    whole = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    known = {name: values[~np.isnan(values)] for name, values in whole.items()}
    return {name: float(values.mean()) for name, values in known.items() if len(values)}


def _named(name: str, failed: Reward) -> Reward:
    """A failure whose message says which judge it is of."""
    error = failed.error
    named = None if error is None else error.model_copy(update={"message": f"{name}: {error.message}"})
    return failed.model_copy(update={"error": named})
