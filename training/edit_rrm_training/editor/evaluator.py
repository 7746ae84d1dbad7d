"""Looking at an editor on the way: evaluation prompts edited without noise, judged, and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image

from edit_rrm_client import FailureBudgetError
from edit_rrm_client.failure_policy import reason_of
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.judge_recipe import JUDGE
from edit_rrm_training.editor.policies.base import Condition, EditPolicy
from edit_rrm_training.editor.progress import Counted, unheard
from edit_rrm_training.editor.prompts import Prompt, Prompts
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.scoring import Scored, Scorer, reward_means
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.editor.stopping import Stopping

Measure = Callable[[Prompt, int, Image.Image], dict[str, float]]
"""A held-out measure of an edit: of a prompt, its number and the edit. Never shown to the training."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Evaluation edits and what came of them."""

    prompts: tuple[Prompt, ...]
    edits: tuple[Image.Image, ...]
    scored: tuple[Scored, ...]
    measures: dict[str, float]
    """Means by name; the judge's reward among them, and those of held-out judges, of what each measured."""
    held_out: dict[str, tuple[Scored, ...]] = field(default_factory=dict)
    """What held-out judges said, by name."""
    rewards: dict[str, float] = field(default_factory=dict)
    """Where rewards are more than the judge's: the mean `reward` as training has it, and of each part."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """One prompt's edit, as the process that made it sends it to the first."""

    number: int
    edit: Image.Image
    scored: Scored
    measured: dict[str, float]
    held_out: dict[str, Scored]


class Evaluator:
    """Edits prompts by the averaged weights, spread over all processes."""

    def __init__(
        self,
        recipe: EditorRecipe,
        prompts: Prompts,
        *,
        policy: EditPolicy,
        encode: Callable[[Prompt], Condition],
        scorer: Scorer,
        accelerator: Any,
        stopping: Stopping,
        average: MovingAverage | None = None,
        measure: Measure | None = None,
        held_out: Mapping[str, Scorer] | None = None,
    ) -> None:
        """Evaluate by these.

        Args:
            recipe: How many prompts, and steps of a trajectory.
            prompts: To evaluate on.
            policy: The model.
            encode: Of what an edit starts from; on the policy's device.
            scorer: Has edits judged.
            accelerator: An `accelerate.Accelerator`.
            stopping: Says whether to go on.
            average: Evaluated in the place of what is trained.
            measure: Of edits, beside the judge's reward.
            held_out: Judges by name that nothing is learnt from, which are asked, too.
        """
        self._recipe = recipe
        self._prompts = [prompts[index] for index in range(min(recipe.evaluation.count, len(prompts)))]
        self._policy = policy
        self._encode = encode
        self._scorer = scorer
        self._accelerator = accelerator
        self._stopping = stopping
        self._average = average
        self._measure = measure
        self._held_out = dict(held_out or {})

    def evaluate(self, told: Counted = unheard) -> Evaluated | None:
        """Edit, have judged and measure. All processes have to take part.

        Args:
            told: Is told how many prompts are edited, of how many.

        Returns:
            What came of all prompts; None on all processes but the first.

        Raises:
            StoppedError: Some device was told to end.
            FailureBudgetError: Not one edit was judged, and all may be later: the service is away.
            RewardClientError: Nothing can be judged.
            FailedElsewhereError: That was another device's.
        """
        from accelerate.utils import gather_object

        looked = self._looked(told)
        everyones: list[_Looked] = gather_object(looked)
        if all(_may_be_scored_later(one.scored) for one in everyones):
            self._stopping.agreed = True
            raise FailureBudgetError(
                f"not one of the {len(everyones)} edits of an evaluation was scored; look at the service, and run the "
                f"same command again. The last reason: {reason_of([one.scored.combined for one in everyones])}",
                code="failure_budget",
            )
        if not self._accelerator.is_main_process:
            return None
        found = sorted(everyones, key=lambda one: one.number)
        scored = tuple(one.scored for one in found)
        held_out = {name: tuple(one.held_out[name] for one in found) for name in self._held_out}
        judged = {JUDGE: [one.result.rewards[0] for one in scored]}
        judged |= {name: [one.rewards[0] for one in theirs] for name, theirs in held_out.items()}
        measures = _known_means(judged)
        measures |= {name: float(np.mean([one.measured[name] for one in found])) for name in found[0].measured}
        rewards = reward_means(scored)
        if rewards:
            rewards = _known_means({"reward": [one.rewards[0] for one in scored]}) | rewards
        edits = tuple(one.edit for one in found)
        return Evaluated(tuple(self._prompts), edits, scored, measures, held_out, rewards)

    def _looked(self, told: Counted) -> list[_Looked]:
        """This process's share, every so many prompts one."""
        processes, first = self._accelerator.num_processes, self._accelerator.process_index
        edits: dict[int, Image.Image] = {}
        under_way: list[Future[Scored]] = []
        held_out: dict[str, list[Future[Scored]]] = {name: [] for name in self._held_out}
        applied: AbstractContextManager[None] = nullcontext() if self._average is None else self._average.applied()
        with applied:
            for before in range(0, len(self._prompts), processes):
                self._stopping.check()
                told(before, len(self._prompts))
                number = before + first
                if number >= len(self._prompts):
                    # One pass too many, for nothing: a sharded model's passes are made by all processes.
                    self._edit(before)
                    continue
                edits[number] = self._edit(number)
                under_way.append(self._scorer.submit(self._prompts[number], [edits[number]]))
                for name, scorer in self._held_out.items():
                    held_out[name].append(scorer.submit(self._prompts[number], [edits[number]]))
        self._stopping.wait([*under_way, *chain(*held_out.values())])
        scored = [one.result() for one in under_way]
        theirs = {name: [one.result() for one in asked] for name, asked in held_out.items()}
        return [
            _Looked(
                number,
                edit,
                one,
                {} if self._measure is None else self._measure(self._prompts[number], number, edit),
                {name: found[place] for name, found in theirs.items()},
            )
            for place, ((number, edit), one) in enumerate(zip(edits.items(), scored, strict=True))
        ]

    @torch.no_grad()
    def _edit(self, number: int) -> Image.Image:
        evaluation = self._recipe.evaluation
        condition = self._encode(self._prompts[number])
        steps = trajectory(self._policy.times(evaluation.steps, condition), "ode", 0.0)
        with self._accelerator.autocast():
            (edit,) = roll_out(self._policy, condition, steps, [seed_of(self._recipe.seed, 4, number)]).pictures
        return edit


def _may_be_scored_later(one: Scored) -> bool:
    error = one.combined.results[0].error
    return error is not None and error.retryable


def _known_means(found: Mapping[str, Sequence[np.float32]]) -> dict[str, float]:
    """Means by name of what was measured; no name where nothing was."""
    known = {name: [float(value) for value in values if not np.isnan(value)] for name, values in found.items()}
    return {name: float(np.mean(values)) for name, values in known.items() if values}
