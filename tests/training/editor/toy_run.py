"""A whole run on the toy policy: real trainer, learner, checkpoints and accelerate; the judge likes blue."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode, Outcome
from edit_rrm_client import Group, GroupResult
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints
from edit_rrm_training.editor.learner import Learner
from edit_rrm_training.editor.prepared import prepare
from edit_rrm_training.editor.prompts import Prompt
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.scoring import Scorer, Weighted
from edit_rrm_training.editor.trainer import EditorTrainer, Evaluated
from tests.client.steps import scored, unscored
from tests.training.editor.toy_policy import ToyPolicy

PROMPTS = [
    Prompt(instruction, Image.new("RGB", (8, 8), colour), f"{instruction} {colour}")
    for instruction in ("make it", "make it blue")
    for colour in ("red", "white")
]


class BlueJudge:
    """The bluer, the better; measures nothing of a share of edits, chosen by their colour and nothing else."""

    def __init__(self, failing: float = 0.0) -> None:
        self._failing = failing
        self.asked: list[Group] = []

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        self.asked += groups
        return [GroupResult(tuple(self._judged(image) for image in group.edited)) for group in groups]

    def _judged(self, image: Any) -> Any:
        pixel = Image.Image.getpixel(image, (0, 0))
        assert isinstance(pixel, tuple)
        if (sum(pixel) * 7919 % 1_000) / 1_000.0 < self._failing:
            return unscored(Outcome.TIMED_OUT, retryable=True)
        return scored(pixel[2] / 25.5)


class DiesAfter(BlueJudge):
    """A judge with which the process dies, after so many groups of training."""

    def __init__(self, groups: int, die: Callable[[], None]) -> None:
        super().__init__()
        self._left = groups
        self._die = die

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        self._left -= sum(len(group.edited) > 1 for group in groups)
        if self._left < 0:
            self._die()
        return super().score_groups(groups, mode=mode, aggregation=aggregation)


class Notes:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.evaluations: list[tuple[int, Evaluated]] = []
        self.parts: list[tuple[str, int, int]] = []

    def step(self, number: int, values: dict[str, float]) -> None:
        self.steps.append({"number": number, **values})

    def evaluated(self, number: int, found: Evaluated) -> None:
        self.evaluations.append((number, found))

    def has_evaluated(self, number: int) -> bool:
        return number in [step for step, _ in self.evaluations]

    def doing(self, what: str, done: int, total: int) -> None:
        self.parts.append((what, done, total))


def recipe(**fields: Any) -> EditorRecipe:
    values: dict[str, Any] = {
        "policy": {"kind": "flux-kontext", "model": "toy", "lora": None},
        "prompts": "toy",
        "rewards": {"url": "http://toy"},
        "sampling": {"sampler": "sde", "steps": 4, "noise_level": 0.7, "batch": 4},
        "evaluation": {"every": 5, "count": 2, "steps": 4},
        "steps": 6,
        "group_size": 8,
        "groups": 4,
        "updates": 2,
        "micro_batch": 4,
        "clip": 0.2,
        "kl": 0.0,
        "learning_rate": 5e-3,
        "weight_decay": 0.0,
        "ema_every": 2,
        "save_every": 3,
    }
    return EditorRecipe.model_validate(values | fields)


def toy_run(
    folder: Path,
    judge: Any,
    notes: Notes,
    *,
    identity: str = "blue",
    scorer: Scorer | None = None,
    held_out: Mapping[str, Scorer] | None = None,
    further: Mapping[str, str] | None = None,
    policy: ToyPolicy | None = None,
    accelerator: Accelerator | None = None,
    extras: Sequence[Weighted] = (),
    **fields: Any,
) -> EditorTrainer:
    """Put a run together, as `edit-rrm train editor` does with a real policy."""
    made, accelerator, policy = recipe(**fields), accelerator or Accelerator(cpu=True), policy or ToyPolicy()
    prepared = prepare(accelerator, policy.trained, made)
    policy.use(prepared.module)
    average = MovingAverage(prepared.trained, made.ema)
    return EditorTrainer(
        made,
        policy=policy,
        learner=Learner(policy, prepared.optimisation, accelerator, made.objective, micro_batch=made.micro_batch),
        scorer=scorer or Scorer(judge, extras=extras),
        prompts=PROMPTS,
        checkpoints=Checkpoints(
            accelerator,
            folder / "checkpoints",
            keep=made.keep,
            trained=prepared.trained,
            optimisation=prepared.optimisation,
            average=average,
        ),
        accelerator=accelerator,
        watcher=notes,
        average=average,
        evaluation=PROMPTS,
        measure=lambda prompt, index, edit: {"blue": float(np.asarray(edit)[..., 2].mean()) / 255.0},
        held_out=held_out,
        identities={"judge": identity, **(further or {})},
    )


def weights(run: EditorTrainer) -> torch.Tensor:
    """All that is trained, as one vector."""
    return torch.nn.utils.parameters_to_vector(run._policy.trained.parameters()).detach().clone()


def main(out: str) -> None:
    """One run, once for each rank; the first writes down what it trained, and what it was told of the steps."""
    notes, redness = Notes(), Weighted("redness", 0.0, _redness)
    run = toy_run(Path(out), _Bored(), notes, steps=4, extras=[redness])
    run.run()
    if run._accelerator.is_main_process:
        torch.save((run._accelerator.num_processes, weights(run), notes.steps), Path(out) / "weights.pt")


class _Bored(BlueJudge):
    """Finds all edits of one of the prompts equally good: their group is dead."""

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        (group,) = groups
        if (group.instruction, group.source) == (PROMPTS[0].instruction, PROMPTS[0].file):
            return [GroupResult(tuple(scored(5.0) for _ in group.edited))]
        return super().score_groups(groups, mode=mode, aggregation=aggregation)


def _redness(prompt: Prompt, edits: Sequence[Image.Image]) -> Any:
    return np.array([np.asarray(edit)[..., 0].mean() / 255.0 for edit in edits], np.float32)


if __name__ == "__main__":
    main(sys.argv[1])
