"""Whether an edit of the shapes world succeeded, from its pixels: the judge of judges, never shown to training.

An edit is compared with what the perfect result may look like: one picture for most instructions, several where the
instruction leaves something open (where in its cell an added object is, how large where nothing is said, where a
pattern begins). It is *done* where what had to change looks like that, and *kept* where everything else looks like the
source; no patch of the size of an object may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from edit_rrm_training.editor.nano.tasks import Task
from edit_rrm_training.shapes.edits import apply
from edit_rrm_training.shapes.render import Pixels, render
from edit_rrm_training.shapes.scene import Scene
from edit_rrm_training.shapes.vocabulary import JITTER, RADII, cell_centre

_CHANGED = 12.0
"""Differences of source and target, in levels of 255, from which a pixel had to change."""
_AROUND = 2
"""Pixels around those that belong to neither part: edges are drawn a little differently."""
_DONE = 26.0
"""Mean difference from the target, in levels, that what had to change may have."""
_OF_THE_WAY = 0.3
"""And as a share of the difference that the source has."""
_KEPT = 9.0
"""Mean difference that everything else may have."""
_PATCH, _PATCH_KEPT = 9, 34.0
"""No patch of so many pixels a side, a small object's size, may differ by more."""
_PATCH_DONE = 60.0
"""Nor any patch of what had to change: a new background with a stranger on it is not what was asked for."""
_PHASES = 14


@dataclass(frozen=True, slots=True)
class PixelVerdict:
    """What became of a task."""

    done: bool
    """What was asked for is there."""
    kept: bool
    """Everything else is as it was."""

    @property
    def success(self) -> bool:
        """Both."""
        return self.done and self.kept


def judge_pixels(task: Task, edited: Pixels) -> PixelVerdict:
    """Judge an edit.

    Args:
        task: What was asked for.
        edited: The edit, (84, 84, 3) of bytes.
    """
    source, found = render(task.source).astype(np.float32), edited.astype(np.float32)
    verdicts = [_compared(source, render(scene).astype(np.float32), found) for scene in accepted(task)]
    # The best of what the instruction allows.
    return max(verdicts, key=lambda verdict: (verdict.success, verdict.done, verdict.kept))


def accepted(task: Task) -> Iterator[Scene]:
    """Scenes that fulfil a task perfectly."""
    edit = task.edit
    if edit.kind == "add":
        x, y = cell_centre(edit.place)
        said = [size for size in RADII if size in task.instruction.split()]
        shifts = range(-JITTER, JITTER + 1)
        for right, down, size in product(shifts, shifts, said or RADII):
            thing = replace(edit.target, x=x + right, y=y + down, radius=RADII[size])
            yield apply(task.source, replace(edit, thing=thing))
        return
    if edit.kind == "background" and edit.background is not None and edit.background.kind != "plain":
        for phase in range(_PHASES):
            yield apply(task.source, replace(edit, background=replace(edit.background, phase=phase)))
        return
    yield task.target


def _compared(source: NDArray[np.float32], target: NDArray[np.float32], found: NDArray[np.float32]) -> PixelVerdict:
    changed = np.abs(target - source).max(-1) > _CHANGED
    rest = ~_grown(changed, _AROUND)
    off = np.abs(found - target).mean(-1)
    wanted = float(np.abs(source - target).mean(-1)[changed].mean()) if changed.any() else 0.0
    error = float(off[changed].mean()) if changed.any() else 0.0
    worst = float(_box_means(np.where(changed, off, 0.0), _PATCH).max())
    done = error < _DONE and error < max(_OF_THE_WAY * wanted, 4.0) and worst < _PATCH_DONE
    kept = True
    if rest.any():
        worst = float(_box_means(np.where(rest, off, 0.0), _PATCH).max())
        kept = float(off[rest].mean()) < _KEPT and worst < _PATCH_KEPT
    return PixelVerdict(done, kept)


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A mask and what is within so many pixels of it."""
    padded = np.pad(mask, by)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for down, right in product(range(2 * by + 1), repeat=2):
        grown |= padded[down : down + height, right : right + width]
    return grown


def _box_means(values: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Means of all squares of a side."""
    sums = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: NDArray[np.float64] = boxes / side**2
    return means
