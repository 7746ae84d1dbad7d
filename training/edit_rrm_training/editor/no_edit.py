"""A penalty for edits that are their sources, told from edits by what is left of a difference in coarse cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, size_of, unfit_picture
from edit_rrm_training.editor.prompts import Prompt

_CELLS: Final = 256
"""Cells that a picture is averaged over. What a VAE, noise and compression change cancels out in a cell, and an object
of 1 to 3% of the picture still fills two to seven."""
_SOMEWHERE: Final = 8.0
"""Mean absolute difference of a cell's colour, 0 to 255, from which on a cell shows an edit. Of photographs scaled to
0.26 megapixels, copies after JPEG of quality 30, noise of deviation 12 or a blur of 2 pixels have 5.1 at most in the
cell that `_TOLERATED` takes, and 97.7% of what nano's VAE makes of its sources has less than 8; an object of 2% whose
channels are 30 away has 17.7 at least."""
_TOLERATED: Final = 0.01
"""Share of the cells that may be off without an edit: a VAE draws some small thing otherwise."""
_EVERYWHERE: Final = 3.0
"""Mean over all cells from which on a picture is edited as a whole; those copies have 2.8 at most."""


class NoEditPenalty:
    """-1 for an edit that is its source: the answer of an editor that has found out that nothing is never wrong.

    An edit is compared with the source as the policy saw it: upright, on white, and scaled to the size that the policy
    draws in and back.
    """

    def __init__(self, bucket: Callable[[Image.Image], Size], fit: Fit) -> None:
        """Of a policy.

        Args:
            bucket: The policy's own: the size that an edit of a source is drawn in.
            fit: How sources are made to fit it.
        """
        self._bucket = bucket
        self._fit: Fit = fit

    def __call__(self, prompt: Prompt, edits: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Look for copies among N edits.

        Returns:
            Shape (N,): -1 for a copy, else 0.
        """
        size = size_of(prompt.source)
        seen = unfit_picture(fit_picture(prompt.source, self._bucket(prompt.source), self._fit), size, self._fit)
        return np.array([-1.0 if is_copy(seen, edit) else 0.0 for edit in edits], np.float32)


def is_copy(source: Image.Image, edit: Image.Image) -> bool:
    """Whether two upright pictures show the same, but for what drawing a picture again costs."""
    scale = min(1.0, math.sqrt(_CELLS / (source.width * source.height)))
    grid = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    off = np.abs(_cells(source, grid) - _cells(edit, grid)).mean(axis=-1)
    return float(off.mean()) < _EVERYWHERE and float(np.quantile(off, 1.0 - _TOLERATED)) < _SOMEWHERE


def _cells(picture: Image.Image, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Mean colours, (rows, columns, 3) from 0 to 255."""
    return np.asarray(picture.convert("RGB").resize(grid, Image.Resampling.BOX), np.float32)
