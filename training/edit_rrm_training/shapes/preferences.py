"""Preferences: which of two edits people like better, by a utility that no judge is shown.

The utility stands for people. It disagrees with the plain average of the verdicts, and with the oracle's score, on
purpose, so that preferences have something to teach that verdicts do not hold: damage to a big object hurts more than
to a small one, partial success is worth something, and artefacts are forgiven a little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edit_rrm_training.shapes.edits import Edit
from edit_rrm_training.shapes.faults import STAY_BEHIND_UID, TWIN_UID, Edited, commit
from edit_rrm_training.shapes.oracle import Truth, judge
from edit_rrm_training.shapes.phrases import phrase
from edit_rrm_training.shapes.render import Pixels, render
from edit_rrm_training.shapes.sample import planned, seed_of
from edit_rrm_training.shapes.scene import Scene, Thing
from edit_rrm_training.shapes.vocabulary import RADII

SUCCESS: Final[Mapping[str, float]] = {
    "none": 10.0,
    "displaced": 7.5,
    "duplicated": 6.0,
    "half_done": 5.0,
    "wrong_attribute": 2.5,
    "wrong_object": 0.0,
    "nothing": 0.0,
}
"""What people give an edit for what was asked of it, by its main fault."""

FORGIVEN: Final[Mapping[str, float]] = {"shift": 0.7, "noise": 0.5, "blur": 0.9, "blocks": 1.4}
"""What a fault of the whole image costs: little, beside the oracle's 2 points."""

_BACKGROUND = 3.0
_LOST, _ALTERED = 6.0, 4.0
"""What losing (or adding) and what altering an object as big as they get costs; smaller ones by their area."""

NOISE: Final = 0.8
"""Scale of the logistic noise in one annotator's comparison, in points of utility."""
SAME: Final = 0.5
"""Edits whose compared utilities are closer than this are called the same, and dropped."""
ALIKE: Final = 0.5
"""Share of the pairs whose edits have the same main fault, as those of editors of like strength: what tells them apart
is damage and artefacts, where the oracle's score and the utility disagree (it ranks 82% of such a mix rightly, and 89%
without it)."""

_COMPARISON_SEED = 40
"""Keeps preferences' scenes apart from those that `sample.make` draws for the same split and index."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Two edits of one source, the better one first."""

    split: str
    index: int
    instruction: str
    source: Scene
    edit: Edit
    better: Edited
    worse: Edited
    gap: float
    """Utility of the better minus that of the worse; negative where a noisy annotator erred."""

    def source_pixels(self) -> Pixels:
        """The source image."""
        return render(self.source)

    def better_pixels(self) -> Pixels:
        """The preferred edit."""
        return render(self.better.scene)

    def worse_pixels(self) -> Pixels:
        """The other edit."""
        return render(self.worse.scene)

    @property
    def truths(self) -> tuple[Truth, Truth]:
        """What the oracle says about the better and the worse edit."""
        return tuple(judge(self.source, self.edit, edited.scene) for edited in (self.better, self.worse))  # type: ignore[return-value]  # of two, two


def preference(split: str, index: int) -> Preference:
    """Make preference `index` of a split. The same arguments give the same one, on any machine.

    Annotators of `train` are noisy; on every other split the utility itself decides. Pairs that they call the same,
    and pairs whose images are, are passed over.

    Raises:
        ValueError: There is no such split.
    """
    rng = np.random.default_rng([seed_of(split), _COMPARISON_SEED, index])
    while True:
        source, edit = planned(rng, split, index)
        one, two = _edits(rng, source, edit)
        gap = utility(source, edit, one) - utility(source, edit, two)
        told = gap + (rng.logistic(0.0, NOISE) if split == "train" else 0.0)
        if one.scene == two.scene or abs(told) < SAME:
            continue
        better, worse = (one, two) if told > 0 else (two, one)
        instruction = phrase(rng, edit, held_out=split == "held-out-phrasings")
        return Preference(split, index, instruction, source, edit, better, worse, gap if told > 0 else -gap)


def _edits(rng: np.random.Generator, source: Scene, edit: Edit) -> tuple[Edited, Edited]:
    one, two = commit(rng, source, edit), commit(rng, source, edit)
    if rng.random() < ALIKE:
        # Some faults leave one scene only (nothing done, say), so there may be no second edit to find.
        for _ in range(50):
            if two.main == one.main and two.scene != one.scene:
                break
            two = commit(rng, source, edit)
    return one, two


def utility(source: Scene, edit: Edit, edited: Edited) -> float:
    """How much people like an edit: at most 10, and below 0 where it did nothing but damage."""
    worth = SUCCESS[edited.main] - sum(FORGIVEN.get(fault, 0.0) for fault in edited.side)
    if "background" in edited.side:
        worth -= _BACKGROUND
    return worth - damage(source, edit, edited.scene)


def damage(source: Scene, edit: Edit, edited: Scene) -> float:
    """What was done to objects that the edit is not about, weighed by their area."""
    concerned = edit.concerned
    lost = [thing for thing in source.things if thing.uid not in concerned and edited.thing(thing.uid) is None]
    known = concerned | {thing.uid for thing in source.things} | {STAY_BEHIND_UID, TWIN_UID}
    added = [thing for thing in edited.things if thing.uid not in known]
    altered = [
        thing for thing in source.things if thing.uid not in concerned and edited.thing(thing.uid) not in (None, thing)
    ]
    return sum(_LOST * _share(thing) for thing in (*lost, *added)) + sum(_ALTERED * _share(thing) for thing in altered)


def _share(thing: Thing) -> float:
    """Area of an object, in those of the biggest regular one."""
    return (thing.radius / max(RADII.values())) ** 2
