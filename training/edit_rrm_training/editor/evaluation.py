"""How often an editor of the shapes world succeeds, by the oracle of pixels, and what training gained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from edit_rrm_training.editor.nano.pixel_oracle import PixelVerdict, judge_pixels
from edit_rrm_training.editor.nano.tasks import Task, make_task
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.judge.intervals import Gain, Share, paired_gain, wilson
from edit_rrm_training.shapes.render import render

_QUESTIONS: dict[str, Callable[[PixelVerdict], bool]] = {
    "success": lambda verdict: verdict.success,
    "done": lambda verdict: verdict.done,
    "kept": lambda verdict: verdict.kept,
}


@dataclass(frozen=True, slots=True)
class EditorReport:
    """What became of a split's first tasks."""

    split: str
    steps: int
    kinds: tuple[str, ...]
    """Of each task's edit."""
    verdicts: tuple[PixelVerdict, ...]

    def shares(self, kind: str | None = None) -> dict[str, Share]:
        """Shares of edits that succeeded, did what was asked, and kept the rest, of one kind or of all."""
        chosen = [verdict for one, verdict in zip(self.kinds, self.verdicts, strict=True) if kind in (None, one)]
        return {name: wilson(sum(map(asked, chosen)), len(chosen)) for name, asked in _QUESTIONS.items()}

    def outcomes(self) -> dict[str, tuple[bool, ...]]:
        """What became of each task, by measure: what editors are compared by on the same tasks."""
        return {name: tuple(map(asked, self.verdicts)) for name, asked in _QUESTIONS.items()}

    def as_json(self) -> dict[str, Any]:
        """All shares with their intervals, over all and by kind."""
        kinds = {kind: _plain(self.shares(kind)) for kind in sorted(set(self.kinds))}
        edits = len(self.verdicts)
        return {"split": self.split, "edits": edits, "steps": self.steps, **_plain(self.shares()), "kinds": kinds}


def gains(before: EditorReport, after: Sequence[EditorReport]) -> dict[str, Gain]:
    """What training changed, on the same tasks from the same noise: means over editors of several seeds.

    Args:
        before: Of the editor that training began with.
        after: Of one trained editor or more.

    Raises:
        ValueError: They were asked to do different things.
    """
    if any((one.split, one.steps, one.kinds) != (before.split, before.steps, before.kinds) for one in after):
        raise ValueError("editors are compared on the same tasks, with the same number of sampling steps")
    found, each = {}, [one.outcomes() for one in after]
    for name, then in before.outcomes().items():
        now = [float(np.mean(task)) for task in zip(*(one[name] for one in each), strict=True)]
        found[name] = paired_gain(then, now)
    return found


@torch.no_grad()
def evaluate_editor(
    policy: EditPolicy,
    split: str,
    count: int,
    *,
    steps: int = 12,
    batch: int = 60,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> EditorReport:
    """Edit the first tasks of a split without noise, and look at every pixel.

    Args:
        policy: The editor.
        split: Of the shapes world.
        count: Tasks.
        steps: Of a trajectory.
        batch: Edits at a time.
        seed: Of the noise that edits begin with.
        progress: Is told how many are done.

    Raises:
        ValueError: There is no such split.
    """
    found: list[tuple[Task, PixelVerdict]] = []
    for first in range(0, count, batch):
        tasks = [make_task(split, index) for index in range(first, min(count, first + batch))]
        sources = [Image.fromarray(render(task.source)) for task in tasks]
        condition = policy.encode(sources, [task.instruction for task in tasks])
        path = trajectory(policy.times(steps, condition), "ode", 0.0)
        seeds = [seed_of(seed, 4, task.index) for task in tasks]
        pictures = roll_out(policy, condition, path, seeds).pictures
        found += [
            (task, judge_pixels(task, np.asarray(picture))) for task, picture in zip(tasks, pictures, strict=True)
        ]
        progress(len(found))
    return EditorReport(
        split, steps, tuple(task.edit.kind for task, _ in found), tuple(verdict for _, verdict in found)
    )


def _plain(shares: dict[str, Share]) -> dict[str, dict[str, Any]]:
    return {name: asdict(share) for name, share in shares.items()}
