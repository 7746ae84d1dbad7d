"""The run: draw, have judged, learn; evaluate, save, and go on after anything."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from edit_rrm_client import FailureBudget, FailureBudgetError
from edit_rrm_client.failure_policy import reason_of
from edit_rrm_training.editor.advantages import advantages_of, deviation_of
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints
from edit_rrm_training.editor.condition_cache import ConditionCache
from edit_rrm_training.editor.evaluator import Evaluated, Evaluator, Measure
from edit_rrm_training.editor.judges import as_state, check_same
from edit_rrm_training.editor.learner import Experience, Learner, Update
from edit_rrm_training.editor.matching import match_times, roll_out_matched
from edit_rrm_training.editor.plan import plan_step, window_of
from edit_rrm_training.editor.policies.base import Condition, EditPolicy
from edit_rrm_training.editor.prepared import check_groups
from edit_rrm_training.editor.prompts import Prompt, Prompts
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.sampling import Rollouts, roll_out
from edit_rrm_training.editor.scoring import Scored, Scorer, parts_of
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.editor.step_values import group_rows, reward_values, second_values, update_values
from edit_rrm_training.editor.stopping import StoppedError, Stopping

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
        check_groups(recipe, accelerator.num_processes)
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
        self._conditions = ConditionCache(int(recipe.condition_cache_gb * 1e9))
        self._budget = FailureBudget(recipe.failures)
        self._stopping = Stopping(accelerator)
        self._updates = 0
        self._learnt = self._saved = 0
        self.stopped = False
        self._evaluator = None
        if evaluation is not None:
            self._evaluator = Evaluator(
                recipe,
                evaluation,
                policy=policy,
                encode=self._condition,
                scorer=scorer,
                accelerator=accelerator,
                stopping=self._stopping,
                average=average,
                measure=measure,
                held_out=held_out,
            )

    def run(self) -> int:
        """Train to the recipe's last step, from the newest checkpoint where there is one.

        On SIGTERM, or where the service cannot be used any more, a checkpoint of the steps that were learnt from is
        written; what is drawn and was not learnt from yet is drawn again when the run goes on. An update that is under
        way is finished first.

        Returns:
            Steps that are done. After a SIGTERM `stopped` says so: what is missing may be the last evaluation alone.

        Raises:
            DivergedError: The gradient is no number any more; the last checkpoint is good.
            FailureBudgetError: Too much could not be judged.
            RewardClientError: Nothing can be judged; the same command goes on later.
            FailedElsewhereError: That was another device's.
            CheckpointError: The disk is full.
        """
        with self._stopping.listening():
            self._learnt = self._saved = self._resume()
            try:
                self._go_on()
            except StoppedError:
                self.stopped = True
                self._leave()
            except Exception:
                if self._stopping.agreed:
                    self._leave()
                raise
            return self._learnt

    def _go_on(self) -> None:
        begin = self._learnt
        if begin == 0 or (self._is_looked_at(begin) and self._lacks_evaluation(begin)):
            self._evaluate(begin)
        for number in range(begin, self._recipe.steps):
            self._step(number)
            done = number + 1
            if done == self._recipe.steps or done % self._recipe.save_every == 0:
                self._drain()
                self._save()
            if self._evaluator is not None and self._is_looked_at(done):
                self._drain()
                self._evaluate(done)

    def _leave(self) -> None:
        """Keep what was learnt; what was only drawn comes again."""
        self._pending.clear()
        if self._learnt > self._saved:
            self._save()

    def _is_looked_at(self, done: int) -> bool:
        return done == self._recipe.steps or done % self._recipe.evaluation.every == 0

    def _resume(self) -> int:
        state = self._checkpoints.load()
        if state is None:
            return 0
        check_same(state, self._identities)
        self._updates = int(state["updates"])
        return int(state["step"])

    def _save(self) -> None:
        self._checkpoints.save(self._learnt, {**as_state(self._identities), "updates": self._updates})
        self._saved = self._learnt

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
            within = sampling.window_within
            window = window_of(recipe.seed, number, steps=sampling.drawing, window=sampling.window, within=within)
        pending = _Pending(number)
        for place, plan in enumerate(mine):
            self._stopping.check()
            self._watcher.doing("sampling", place, len(mine))
            prompt = self._prompts[plan.prompt]
            condition = self._condition(prompt)
            times = self._policy.times(sampling.steps, condition)
            parts = []
            for first in range(0, recipe.group_size, sampling.batch):
                seeds = plan.seeds[first : first + sampling.batch]
                with self._accelerator.autocast():
                    parts.append(self._drawn(condition.take([0] * len(seeds)), times, seeds, plan.seeds[0], window))
            rollouts = joined(parts, condition.to("cpu"))
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
        found = self._conditions.get(prompt.key, lambda: self._policy.encode([prompt.source], [prompt.instruction]))
        return found.to(self._accelerator.device)

    def _learn(self, pending: _Pending) -> None:
        recipe = self._recipe
        waiting = time.monotonic()
        self._stopping.wait(pending.under_way, partial(self._watcher.doing, "scoring"))
        scored = [one.result() for one in pending.under_way]
        waited = time.monotonic() - waiting
        rewards = [one.rewards for one in scored]
        everyone = self._gathered(np.concatenate(rewards))
        self._observe(pending.number, ~np.isnan(everyone), scored)
        found = advantages_of(
            rewards, recipe.spread, recipe.failures, deviation_of(everyone), epsilon=recipe.spread_epsilon
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
        self._learnt = pending.number + 1
        rows = self._gathered(group_rows(scored, experiences))
        self._watcher.step(
            pending.number,
            {
                **reward_values(everyone, rows, list(parts_of(scored[0]))),
                **update_values(made),
                **second_values(scored, pending.sampling_s, waited, updating),
            },
        )

    def _observe(self, number: int, measured: Any, scored: Sequence[Scored]) -> None:
        """Count all devices' edits of a step, so that all of them go on, or none does."""
        why = reason_of([one.combined for one in scored])
        try:
            if not measured.any():
                raise FailureBudgetError(
                    f"not one of the {len(measured)} edits of step {number} was scored; look at the service, and run "
                    f"the same command again. The last reason: {why}",
                    code="failure_budget",
                )
            self._budget.observe_measured(measured.tolist(), why)
        except FailureBudgetError:
            self._stopping.agreed = True
            raise

    def _gathered(self, rows: Any) -> Any:
        """Rows of all devices, which have as many each."""
        return self._accelerator.gather(torch.as_tensor(rows, device=self._accelerator.device)).cpu().numpy()

    def _evaluate(self, done: int) -> None:
        if self._evaluator is None:
            return
        found = self._evaluator.evaluate(partial(self._watcher.doing, "evaluating"))
        if found is not None:
            self._watcher.evaluated(done, found)
        self._accelerator.wait_for_everyone()

    def _lacks_evaluation(self, done: int) -> bool:
        """Whether the first device has logged none: others need not see its disk, and all have to go the same way."""
        first = self._accelerator.is_main_process
        return self._stopping.any(first and not self._watcher.has_evaluated(done))


_MATCHES = 2
"""Times at which each edit is learnt from, by sampler `match`."""


def joined(parts: Sequence[Rollouts], condition: Condition) -> Rollouts:
    """Rollouts of one prompt that were drawn in several batches, as one group; `condition` is what all start from."""
    first = parts[0]
    drawn = {
        number: type(one)(
            *(torch.cat([getattr(part.drawn[number], name) for part in parts]) for name in ("before", "after", "mean"))
        )
        for number, one in first.drawn.items()
    }
    pictures = tuple(picture for part in parts for picture in part.pictures)
    return Rollouts(condition, first.steps, drawn, pictures)
