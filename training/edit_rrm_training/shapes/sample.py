"""Samples: one (instruction, source, edited) triple with its truth, made from a split and an index alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edit_rrm_training.shapes.edits import EDIT_KINDS, Edit, held_out, plan
from edit_rrm_training.shapes.faults import Edited, commit
from edit_rrm_training.shapes.oracle import Truth, judge
from edit_rrm_training.shapes.phrases import phrase
from edit_rrm_training.shapes.render import Pixels, render
from edit_rrm_training.shapes.scene import Scene, random_scene

SPLITS: Final[Mapping[str, int]] = {
    "train": 1,
    "validation": 2,
    "held-out": 3,
    "held-out-combinations": 4,
    "held-out-phrasings": 5,
}
"""Seed of every split. `validation` is for tuning; nothing is ever tuned on the held-out ones."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One triple of the shapes world, with everything that is true about it."""

    split: str
    index: int
    instruction: str
    source: Scene
    edit: Edit
    edited: Edited
    truth: Truth

    def source_pixels(self) -> Pixels:
        """The source image."""
        return render(self.source)

    def edited_pixels(self) -> Pixels:
        """The edited image."""
        return render(self.edited.scene)


def make(split: str, index: int) -> Sample:
    """Make sample `index` of a split. The same arguments give the same sample, on any machine.

    Raises:
        ValueError: There is no such split; the message lists those there are.
    """
    rng = np.random.default_rng([seed_of(split), index])
    source, edit = planned(rng, split, index)
    edited = commit(rng, source, edit)
    instruction = phrase(rng, edit, held_out=split == "held-out-phrasings")
    return Sample(split, index, instruction, source, edit, edited, judge(source, edit, edited.scene))


def seed_of(split: str) -> int:
    """The seed of a split.

    Raises:
        ValueError: There is no such split; the message lists those there are.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are: {', '.join(SPLITS)}")
    return SPLITS[split]


def planned(rng: np.random.Generator, split: str, index: int) -> tuple[Scene, Edit]:
    """A scene and an edit of it that belong to a split."""
    # Kinds go round, so that any run of samples has all of them equally often.
    kind = EDIT_KINDS[index % len(EDIT_KINDS)]
    if split == "held-out-combinations" and kind in ("background", "tone"):
        kind = EDIT_KINDS[int(rng.integers(6))]
    wanted = split == "held-out-combinations"
    while True:
        found = plan(rng, random_scene(rng), kind)
        if found is not None and any(map(held_out, found[1].combinations)) == wanted:
            return found
