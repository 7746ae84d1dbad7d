"""Cells: what a judge in training is asked about every visual token, beside the answers it has to write.

A small judge that starts from random weights learns its answers' wording in minutes and then sits on "always yes" for a
long time, because the way from a verdict back to pixels is long (measured: 1,400 steps of 32 rows with no better than
chance on colours and shapes). The oracle knows every cell, so linear heads on every visual token are asked directly,
in the order in which one answer helps to the next: what is here (of the vision tower's output), which cell this is,
what was here in the source and what the instruction names (of an early layer of the language model), and what became of
it (of the layer after that). The heads are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edit_rrm_training.judge.architecture import CELL, SIDE
from edit_rrm_training.shapes import Sample
from edit_rrm_training.shapes.oracle import shown_size
from edit_rrm_training.shapes.scene import Scene, Thing
from edit_rrm_training.shapes.vocabulary import BACKGROUND_COLOURS, CANVAS, COLOURS, PATTERNS, SHAPES, TONES

Answers = NDArray[np.int64]

UNASKED: Final = -100
_SIZES = ("tiny", "small", "between", "big", "huge")
_ARTEFACTS = (None, "blur", "noise", "blocks")
_TONES = (None, *TONES)
_FATES = ("same", "gone", "new", "reshaped", "recoloured", "resized", "faded", "moved")

SEEING: Final[Mapping[str, int]] = {
    "object": 2,
    "shape": len(SHAPES),
    "colour": len(COLOURS),
    "right_colour": len(COLOURS),
    "size": len(_SIZES),
    "column": 3,
    "row": 3,
    "faded": 2,
    "pattern": len(PATTERNS) + 1,
    "background": len(BACKGROUND_COLOURS),
    "artefact": len(_ARTEFACTS),
    "tone": len(_TONES),
}
"""What one image shows in a cell, and how many answers there are."""

RECALLING: Final[Mapping[str, int]] = {
    "place": SIDE * SIDE,
    "asked_shape": len(SHAPES),
    "asked_colour": len(COLOURS),
    "was_object": 2,
    "was_shape": len(SHAPES),
    "was_colour": len(COLOURS),
    "was_size": len(_SIZES),
}
"""Which cell this is, which object the instruction is about and, in the edited image, what the source had here.

Copying alone answers these, so they are learnt soon, and comparing needs what they copy: without them, whether an
object had changed stayed at chance for 600 steps.
"""

COMPARING: Final[Mapping[str, int]] = {
    "concerned": 2,
    "fate": len(_FATES),
    "background_changed": 2,
    "light_changed": 2,
}
"""Whether the instruction is about what stands in a cell and, in the edited image, what became of it."""


def seeing_answers(scene: Scene) -> Answers:
    """Answers to `SEEING` for the cells of one image, shape (cells, 12); `UNASKED` where a question has no answer."""
    answers = np.full((SIDE * SIDE, len(SEEING)), UNASKED)
    column = {name: index for index, name in enumerate(SEEING)}
    background = scene.background
    answers[:, column["object"]] = 0
    if scene.half_background is None:
        answers[:, column["pattern"]] = (*PATTERNS, "photo").index(background.kind)
        if background.kind != "photo":
            answers[:, column["background"]] = list(BACKGROUND_COLOURS).index(background.colour)
    answers[:, column["artefact"]] = _ARTEFACTS.index(scene.artefact)
    if not scene.tone_half:
        answers[:, column["tone"]] = _TONES.index(scene.tone or scene.shift)
    for cell, thing in _things(scene).items():
        row = answers[cell]
        row[column["object"]] = 1
        row[column["shape"]] = SHAPES.index(thing.shape)
        row[column["colour"]] = list(COLOURS).index(thing.colour)
        row[column["right_colour"]] = list(COLOURS).index(thing.right_colour or thing.colour)
        row[column["size"]] = _SIZES.index(shown_size(thing))
        row[column["column"]] = int(3 * (thing.x % CELL) // CELL)
        row[column["row"]] = int(3 * (thing.y % CELL) // CELL)
        row[column["faded"]] = int(thing.alpha < 1.0)
    return answers


def recalling_answers(sample: Sample) -> Answers:
    """Answers to `RECALLING` for the cells of the source and then the edited image, shape (2 * cells, 7)."""
    answers = np.full((2, SIDE * SIDE, len(RECALLING)), UNASKED)
    answers[:, :, 0] = np.arange(SIDE * SIDE)
    if sample.edit.thing is not None:
        answers[:, :, 1] = SHAPES.index(sample.edit.thing.shape)
        answers[:, :, 2] = list(COLOURS).index(sample.edit.thing.colour)
    seen = seeing_answers(sample.source)
    column = list(SEEING).index
    answers[1, :, 3:] = seen[:, [column(name) for name in ("object", "shape", "colour", "size")]]
    return answers.reshape(-1, len(RECALLING))


def comparing_answers(sample: Sample) -> Answers:
    """Answers to `COMPARING` for the cells of the source and then the edited image, shape (2 * cells, 4)."""
    source, edited = sample.source, sample.edited.scene
    before, after = _things(source), _things(edited)
    answers = np.full((2, SIDE * SIDE, len(COMPARING)), UNASKED)
    for cell in range(SIDE * SIDE):
        old, new = before.get(cell), after.get(cell)
        answers[0, cell, 0] = int(_concerned(sample, old))
        answers[1, cell] = (
            int(_concerned(sample, old) or _concerned(sample, new)),
            _FATES.index(_fate(old, new)),
            int(_background_changed(source, edited, cell)),
            int(_light_changed(edited, cell)),
        )
    return answers.reshape(-1, len(COMPARING))


def cell_head(width: int, questions: Mapping[str, int]) -> nn.Module:
    """A linear head that answers questions from a token's features of `width` dimensions."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(questions.values())))


def cell_loss(
    head: nn.Module, questions: Mapping[str, int], features: torch.Tensor, answers: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """Summed cross-entropy over the questions, and the accuracy on each.

    Args:
        head: From `cell_head`.
        questions: `SEEING`, `RECALLING` or `COMPARING`.
        features: Visual tokens, shape (tokens, width).
        answers: Shape (tokens, questions).
    """
    total = features.new_zeros(())
    accuracy: dict[str, float] = {}
    for index, (name, scores) in enumerate(
        zip(questions, head(features).split(list(questions.values()), -1), strict=True)
    ):
        asked = answers[:, index] != UNASKED
        if asked.any():
            total = total + nn.functional.cross_entropy(scores[asked], answers[asked, index])
            accuracy[name] = float((scores[asked].argmax(-1) == answers[asked, index]).float().mean())
    return total, accuracy


def _things(scene: Scene) -> dict[int, Thing]:
    """The object centred in each cell, topmost last."""
    return {
        min(int(thing.y // CELL), SIDE - 1) * SIDE + min(int(thing.x // CELL), SIDE - 1): thing
        for thing in scene.things
    }


def _concerned(sample: Sample, thing: Thing | None) -> bool:
    edit = sample.edit
    if thing is None:
        return False
    counted = edit.kind == "count" and thing.name == edit.target.name
    return counted or thing.uid in edit.concerned


def _fate(old: Thing | None, new: Thing | None) -> str:
    if old is None or new is None:
        return "same" if old is new else "gone" if new is None else "new"
    if new.shape != old.shape:
        return "reshaped"
    if new.colour != old.colour or new.right_colour is not None:
        return "recoloured"
    if new.radius != old.radius:
        return "resized"
    if new.alpha != old.alpha:
        return "faded"
    return "same" if (new.x, new.y) == (old.x, old.y) else "moved"


def _background_changed(source: Scene, edited: Scene, cell: int) -> bool:
    if edited.half_background is not None and CELL * (cell % SIDE) + CELL / 2 >= CANVAS / 2:
        return edited.half_background != source.background
    return edited.background != source.background


def _light_changed(edited: Scene, cell: int) -> bool:
    if edited.shift is not None:
        return True
    if edited.tone_half:
        return CELL * (cell % SIDE) + CELL / 2 < CANVAS / 2
    return edited.tone is not None
