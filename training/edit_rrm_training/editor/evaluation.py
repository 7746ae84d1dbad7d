"""How often an editor succeeds on the shapes world, by the oracle of pixels, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image

from edit_rrm_training.editor.nano.pixel_oracle import PixelVerdict, judge_pixels
from edit_rrm_training.editor.nano.tasks import Task, make_task
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.judge.intervals import Share, wilson
from edit_rrm_training.shapes.render import render

_QUESTIONS: dict[str, Callable[[PixelVerdict], bool]] = {
    "success": lambda verdict: verdict.success,
    "done": lambda verdict: verdict.done,
    "kept": lambda verdict: verdict.kept,
}


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
) -> dict[str, Any]:
    """Edit the first tasks of a split without noise, and look at every pixel.

    Args:
        policy: The editor.
        split: Of the shapes world.
        count: Tasks.
        steps: Of a trajectory.
        batch: Edits at a time.
        seed: Of the noise that edits begin with.
        progress: Is told how many are done.

    Returns:
        Shares of edits that succeeded, did what was asked, and kept the rest, over all and by kind, each with its 95%
        interval.

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
    kinds = sorted({task.edit.kind for task, _ in found})
    return {
        "split": split,
        "edits": len(found),
        "steps": steps,
        **_shares([verdict for _, verdict in found]),
        "kinds": {kind: _shares([verdict for task, verdict in found if task.edit.kind == kind]) for kind in kinds},
    }


def _shares(verdicts: list[PixelVerdict]) -> dict[str, dict[str, Any]]:
    return {name: asdict(_share(verdicts, asked)) for name, asked in _QUESTIONS.items()}


def _share(verdicts: list[PixelVerdict], asked: Callable[[PixelVerdict], bool]) -> Share:
    return wilson(sum(asked(verdict) for verdict in verdicts), len(verdicts))
