"""What nano-editor is asked to do: edits of the shapes world that it can learn, and targets that half fulfil them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edit_rrm_training.shapes.edits import Edit, apply, held_out, plan
from edit_rrm_training.shapes.faults import commit
from edit_rrm_training.shapes.phrases import phrase
from edit_rrm_training.shapes.sample import seed_of
from edit_rrm_training.shapes.scene import Background, Scene, Thing, random_scene
from edit_rrm_training.shapes.vocabulary import cell_centre

KINDS: Final = ("recolour", "remove", "replace", "resize", "add", "background")
"""Kinds of edits that are asked for."""

_STREAM: Final = 60
"""Keeps these samples apart from the judge's of the same split and index."""


@dataclass(frozen=True, slots=True)
class Task:
    """An edit to make of a tidy picture without a photograph."""

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
        scene = tidy(random_scene(rng))
        found = None if scene.background.kind == "photo" else plan(rng, scene, kind)
        if found is not None and any(map(held_out, found[1].combinations)) == wanted:
            source, edit = found[0], _tidy_edit(found[1])
            instruction = phrase(rng, edit, held_out=split == "held-out-phrasings")
            return Task(split, index, instruction, source, edit)


def imperfect_target(task: Task, perfect: float) -> Scene:
    """What an editor that half works makes of a task: the perfect result, or one with the faults of real editors.

    Args:
        task: The task.
        perfect: Share of perfect results, before those that a fault happened to spare.
    """
    rng = np.random.default_rng([seed_of(task.split), _STREAM + 1, task.index])
    if rng.random() < perfect:
        return task.target
    while True:
        scene = commit(rng, task.source, task.edit).scene
        # Photographs, noise and blocks are beyond so small a VAE: learning them in vain would cost the shapes.
        if scene.artefact is None and scene.background.kind != "photo":
            return tidy(scene)


def tidy(scene: Scene) -> Scene:
    """A scene with every object at its cell's centre, and patterns that begin in the corner.

    The judge's own samples have objects in 25 positions of a cell, and 14 beginnings of a pattern: more than a
    transformer of this size learnt to draw.
    """
    return replace(scene, things=tuple(map(_centred, scene.things)), background=_at_corner(scene.background))


def _tidy_edit(edit: Edit) -> Edit:
    background = None if edit.background is None else _at_corner(edit.background)
    return replace(edit, thing=None if edit.thing is None else _centred(edit.thing), background=background)


def _centred(thing: Thing) -> Thing:
    x, y = cell_centre(thing.place)
    return replace(thing, x=x, y=y)


def _at_corner(background: Background) -> Background:
    return replace(background, phase=0)
