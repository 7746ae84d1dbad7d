"""What nano-editor is asked to do: edits of the shapes world that it can learn, and targets that half fulfil them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edit_rrm_training.shapes.edits import Edit, apply, held_out, plan
from edit_rrm_training.shapes.faults import commit
from edit_rrm_training.shapes.phrases import phrase
from edit_rrm_training.shapes.sample import seed_of
from edit_rrm_training.shapes.scene import Scene, random_scene

KINDS: Final = ("recolour", "remove", "replace", "resize", "add", "background")
"""Kinds of edits that are asked for."""

_STREAM: Final = 60
"""Keeps these samples apart from the judge's of the same split and index."""


@dataclass(frozen=True, slots=True)
class Task:
    """An edit to make of a picture without a photograph."""

    split: str
    index: int
    instruction: str
    source: Scene
    edit: Edit

    @property
    def target(self) -> Scene:
        """The perfect result."""
        return apply(self.source, self.edit)


def make_task(split: str, index: int) -> Task:
    """Task `index` of a split of the shapes world. The same arguments give the same task, on any machine.

    Raises:
        ValueError: There is no such split; the message lists those there are.
    """
    rng = np.random.default_rng([seed_of(split), _STREAM, index])
    kind = KINDS[index % len(KINDS)]
    wanted = split == "held-out-combinations" and kind != "background"
    while True:
        scene = random_scene(rng)
        found = None if scene.background.kind == "photo" else plan(rng, scene, kind)
        if found is not None and any(map(held_out, found[1].combinations)) == wanted:
            source, edit = found
            instruction = phrase(rng, edit, held_out=split == "held-out-phrasings")
            return Task(split, index, instruction, source, edit)


def imperfect_target(task: Task, perfect: float) -> Scene:
    """What an editor that half works makes of a task: the perfect result, or one with the faults of real editors.

    Args:
        task: The task.
        perfect: Share of perfect results, before those that a fault happened to spare.
    """
    rng = np.random.default_rng([seed_of(task.split), _STREAM + 1, task.index])
    return task.target if rng.random() < perfect else commit(rng, task.source, task.edit).scene
