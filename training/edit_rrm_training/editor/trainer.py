"""The run: draw, have judged, learn; evaluate, save, and go on after anything."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from edit_rrm_training.editor.advantages import advantages_of, deviation_of
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints
from edit_rrm_training.editor.evaluator import Evaluated, Evaluator, Measure
from edit_rrm_training.editor.judges import as_state, check_same
from edit_rrm_training.editor.learner import Experience, Learner, Update
from edit_rrm_training.editor.matching import match_times, roll_out_matched
from edit_rrm_training.editor.plan import plan_step, window_of
from edit_rrm_training.editor.policies.base import Condition, EditPolicy
from edit_rrm_training.editor.prompts import Prompt, Prompts
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.sampling import Rollouts, roll_out
from edit_rrm_training.editor.scoring import Scored, Scorer, reward_means
from edit_rrm_training.editor.sde import trajectory

__all__ = ["EditorTrainer", "Evaluated", "Measure", "Watcher", "joined"]


class Watcher(Protocol):
    """Is told how a run goes."""

    def step(self, number: int, values: dict[str, float]) -> None:
        """A step was made."""

    def evaluated(self, number: int, found: Evaluated) -> None:
        """So many steps are done, and this is how good the editor is."""

    def has_evaluated(self, number: int) -> bool:
        """Whether it was told so of that many steps, by this process or an earlier one of the same run."""

    def doing(self, what: str, done: int, total: int) -> None:
        """A part of a step or an evaluation is so far: `done` of `total` pieces of `what`."""


@dataclass
class _Pending:
    """A step's groups that are being judged."""

    number: int
    rollouts: list[Rollouts] = field(default_factory=list)
    under_way: list[Future[Scored]] = field(default_factory=list)
    sampling_s: float = 0.0


class EditorTrainer:
    """Makes an editing model better, a step at a time."""

    def __init__(
        self,
        recipe: EditorRecipe,
        *,
        policy: EditPolicy,
        learner: Learner,
        scorer: Scorer,
        prompts: Prompts,
        checkpoints: Checkpoints,
        accelerator: Any,
        watcher: Watcher,
        average: MovingAverage | None = None,
        evaluation: Prompts | None = None,
        measure: Measure | None = None,
        held_out: Mapping[str, Scorer] | None = None,
        identities: Mapping[str, str] | None = None,
    ) -> None:
        """Put a run together.

        Args:
            recipe: What it does.
            policy: The model; its module is prepared by the accelerator.
            learner: Updates it.
            scorer: Has edits judged.
            prompts: To train on.
            checkpoints: Of the run.
            accelerator: An `accelerate.Accelerator`.
            watcher: Is told how it goes.
            average: Of what is trained, evaluated and kept in its place.
            evaluation: Prompts to evaluate on.
            measure: Of evaluation edits, beside the judge's reward.
            held_out: Judges by name that are asked about evaluation edits, and never about what is trained on.
            identities: Of all judges by name; a checkpoint of others' run is not gone on with.

        Raises:
            ValueError: Groups cannot be spread over the devices.
        """
        if recipe.groups % (recipe.updates * accelerator.num_processes):
            raise ValueError(
                f"groups ({recipe.groups}) has to be a multiple of updates ({recipe.updates}) times devices "
                f"({accelerator.num_processes})"
            )
        self._recipe = recipe
        self._policy = policy
        self._learner = learner
        self._scorer = scorer
        self._prompts = prompts
        self._checkpoints = checkpoints
        self._accelerator = accelerator
        self._watcher = watcher
        self._average = average
        self._identities = dict(identities or {})
        self._pending: deque[_Pending] = deque()
        self._conditions: dict[str, Condition] = {}
        self._updates = 0
        self._stopping = False
        self._evaluator = None
        if evaluation is not None:
            self._evaluator = Evaluator(
                recipe,
                evaluation,
                policy=policy,
                encode=self._condition,
                scorer=scorer,
                accelerator=accelerator,
                average=average,
                measure=measure,
                held_out=held_out,
            )

    def run(self) -> int:
        """Train to the recipe's last step, from the newest checkpoint where there is one.

        On SIGTERM the step under way is finished, and a checkpoint written; an evaluation that was due then is made
        when the run goes on, since whoever sends SIGTERM seldom waits for it.

        Returns:
            Steps that are done: fewer than the recipe's after a SIGTERM.

        Raises:
            DivergedError: The gradient is no number any more; the last checkpoint is good.
            FailureBudgetError: Too much could not be judged.
            RewardClientError: Nothing can be judged; the same command goes on later.
            CheckpointError: The disk is full.
        """
        with self._terminated():
            begin = self._resume()
            if begin == 0 or (self._is_looked_at(begin) and self._lacks_evaluation(begin)):
                self._evaluate(begin)
            done = begin
            for number in range(begin, self._recipe.steps):
                self._step(number)
                done = number + 1
                stopping = self._on_any_device(self._stopping)
                if stopping or done == self._recipe.steps or done % self._recipe.save_every == 0:
                    self._drain()
                    self._save(done)
                if stopping:
                    break
                if self._is_looked_at(done):
                    self._evaluate(done)
            return done

    def _is_looked_at(self, done: int) -> bool:
        return done == self._recipe.steps or done % self._recipe.evaluation.every == 0

    def _resume(self) -> int:
        state = self._checkpoints.load()
        if state is None:
            return 0
        check_same(state, self._identities)
        self._updates = int(state["updates"])
        return int(state["step"])

    def _save(self, done: int) -> None:
        self._checkpoints.save(done, {**as_state(self._identities), "updates": self._updates})

    def _step(self, number: int) -> None:
        with self._drawing():
            self._pending.append(self._sampled(number))
        if len(self._pending) > self._recipe.rewards.staleness:
            self._learn(self._pending.popleft())

    def _drawing(self) -> AbstractContextManager[None]:
        """The weights that edits are drawn by, in place."""
        if self._average is None or self._recipe.sampling.weights == "newest":
            return nullcontext()
        return self._average.applied()

    def _drain(self) -> None:
        """Learn from what is still being judged, so that a checkpoint owes nothing."""
        while self._pending:
            self._learn(self._pending.popleft())

    def _sampled(self, number: int) -> _Pending:
        """Draw a step's groups of this device; each is sent to the judge as soon as it is drawn."""
        recipe, began = self._recipe, time.monotonic()
        plans = plan_step(
            recipe.seed, number, prompts=len(self._prompts), groups=recipe.groups, group_size=recipe.group_size
        )
        mine = plans[self._accelerator.process_index :: self._accelerator.num_processes]
        sampling = recipe.sampling
        window = range(0)
        if sampling.sampler != "match":
            window = window_of(
                recipe.seed, number, steps=sampling.steps, window=sampling.window, within=sampling.window_within
            )
        pending = _Pending(number)
        for place, plan in enumerate(mine):
            self._watcher.doing("sampling", place, len(mine))
            prompt = self._prompts[plan.prompt]
            condition = self._condition(prompt)
            times = self._policy.times(sampling.steps, condition)
            parts = []
            for first in range(0, recipe.group_size, sampling.batch):
                seeds = plan.seeds[first : first + sampling.batch]
                with self._accelerator.autocast():
                    parts.append(self._drawn(condition.take([0] * len(seeds)), times, seeds, plan.seeds[0], window))
            rollouts = joined(parts)
            pending.rollouts.append(rollouts)
            pending.under_way.append(self._scorer.submit(prompt, rollouts.pictures))
        pending.sampling_s = time.monotonic() - began
        return pending

    def _drawn(
        self, condition: Condition, times: Sequence[float], seeds: Sequence[int], first: int, window: range
    ) -> Rollouts:
        """Edits of one group, whose first seed is `first`."""
        sampling = self._recipe.sampling
        if sampling.sampler == "match":
            at = match_times(first, sampling.window or _MATCHES, sampling.shift)
            steps = trajectory(times, "ode", 0.0)
            return roll_out_matched(self._policy, condition, steps, seeds, at, sampling.noise_level, first)
        steps = trajectory(times, sampling.sampler, sampling.noise_level, window)
        starts = [first] * len(seeds) if sampling.same_start else None
        return roll_out(self._policy, condition, steps, seeds, starts)

    def _condition(self, prompt: Prompt) -> Condition:
        """A prompt's encoding; kept, because a run comes back to its prompts."""
        found = self._conditions.get(prompt.key)
        if found is None:
            found = self._policy.encode([prompt.source], [prompt.instruction])
            if len(self._conditions) < _KEPT:
                self._conditions[prompt.key] = found.to("cpu")
        return found.to(self._accelerator.device)

    def _learn(self, pending: _Pending) -> None:
        recipe = self._recipe
        waiting = time.monotonic()
        scored = self._scorer.collect(pending.under_way, partial(self._watcher.doing, "scoring"))
        waited = time.monotonic() - waiting
        rewards = [one.rewards for one in scored]
        everyone = self._everyones(rewards)
        found = advantages_of(
            rewards, recipe.spread, recipe.rewards.failures, deviation_of(everyone), epsilon=recipe.spread_epsilon
        )
        experiences = [
            Experience(rollouts, advantages, counts)
            for rollouts, (advantages, counts) in zip(pending.rollouts, found, strict=True)
        ]
        began = time.monotonic()
        share = len(experiences) // recipe.updates
        made: list[Update] = []
        for first in range(0, len(experiences), share):
            update = self._learner.update(experiences[first : first + share], partial(self._watcher.doing, "updating"))
            if update is None:
                continue
            made.append(update)
            self._updates += 1
            if self._average is not None and self._updates % recipe.ema_every == 0:
                self._average.step()
        updating = time.monotonic() - began
        self._watcher.step(
            pending.number,
            {
                **_rewards(scored, everyone, experiences),
                **_means(made),
                **_seconds(scored, pending.sampling_s, waited, updating),
            },
        )

    def _everyones(self, rewards: Sequence[Any]) -> Any:
        local = torch.as_tensor(np.concatenate(rewards), device=self._accelerator.device)
        return self._accelerator.gather(local).cpu().numpy()

    def _evaluate(self, done: int) -> None:
        if self._evaluator is None:
            return
        found = self._evaluator.evaluate(partial(self._watcher.doing, "evaluating"))
        if found is not None:
            self._watcher.evaluated(done, found)
        self._accelerator.wait_for_everyone()

    @contextmanager
    def _terminated(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            self._stopping = True

        before = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _lacks_evaluation(self, done: int) -> bool:
        """Whether the first device has logged none: others need not see its disk, and all have to go the same way."""
        first = self._accelerator.is_main_process
        return self._on_any_device(first and not self._watcher.has_evaluated(done))

    def _on_any_device(self, here: bool) -> bool:
        flag = torch.tensor([int(here)], device=self._accelerator.device)
        return bool(self._accelerator.gather(flag).max())


_KEPT = 4_096
"""Encodings that are kept at most."""
_MATCHES = 2
"""Times at which each edit is learnt from, by sampler `match`."""


def joined(parts: Sequence[Rollouts]) -> Rollouts:
    """Rollouts of one prompt that were drawn in several batches, as one group."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    drawn = {
        number: type(one)(
            *(torch.cat([getattr(part.drawn[number], name) for part in parts]) for name in ("before", "after", "mean"))
        )
        for number, one in first.drawn.items()
    }
    pictures = tuple(picture for part in parts for picture in part.pictures)
    return Rollouts(first.condition.take([0] * len(pictures)), first.steps, drawn, pictures)


def _rewards(scored: Sequence[Scored], everyone: Any, experiences: Sequence[Experience]) -> dict[str, float]:
    measured = everyone[~np.isnan(everyone)]
    spreads = [one.rewards[one.mask].std() for one in scored if one.mask.sum() > 1]
    values = {
        "masked": 1.0 - len(measured) / len(everyone),
        "dead_groups": float(np.mean([not one.teaches for one in experiences])),
    }
    if len(measured):
        values["reward"] = float(measured.mean())
    if spreads:
        values["group_spread"] = float(np.mean(spreads))
    return values | reward_means(scored)


def _means(made: Sequence[Update]) -> dict[str, float]:
    names = ("loss", "grad_norm", "ratio_deviation", "clipped", "kl")
    return {name: float(np.mean([getattr(one, name) for one in made])) for name in names} if made else {}


def _seconds(scored: Sequence[Scored], sampling: float, waited: float, updating: float) -> dict[str, float]:
    """How long each part took, and how much of the scoring nobody waited for."""
    scoring = max(one.ended for one in scored) - min(one.began for one in scored)
    return {
        "sampling_s": sampling,
        "scoring_s": scoring,
        "waited_s": waited,
        "updating_s": updating,
        "hidden": 1.0 - min(1.0, waited / scoring) if scoring > 0.0 else 1.0,
    }
