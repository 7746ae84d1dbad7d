"""Windows: parts of pictures that hold all of an edit, so that a step can learn from more of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edit_rrm_training.editor.nano.architecture import PATCHES

_SIDE = 7
"""Patches of a window's side; one in each corner, which overlap."""
_INSIDE = 0.9
"""Share of an edit's patches that a window has to hold."""
_EVERYWHERE = 90
"""Changed patches, of 121, from which on an edit is of the whole picture, and any window shows it."""
_NOTICEABLE = 0.05
"""Mean square, in a latent's variance, from which on a patch counts as changed."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows, and the tasks that can be seen in each."""

    patches: tuple[NDArray[np.int64], ...]
    """(49,) indices of patches, for each window."""
    pools: tuple[NDArray[np.int64], ...]
    """Indices of tasks, for each window."""


def changed_patches(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Which patches an edit changed: latents (..., P, C) give (..., P) of booleans."""
    return (target - source).square().mean(-1) > _NOTICEABLE


def corner_windows(source: torch.Tensor, target: torch.Tensor) -> Windows:
    """Four windows, and which of the tasks with these latents, (N, 121, C), are seen in each."""
    parts = zip(source.split(4_000), target.split(4_000), strict=True)
    changed = torch.cat([changed_patches(one.float(), other.float()) for one, other in parts])
    total = changed.sum(1)
    corners = (0, PATCHES - _SIDE)
    patches = [_window(top, left) for top in corners for left in corners]
    seen = [(changed[:, window].sum(1) >= _INSIDE * total) | (total > _EVERYWHERE) for window in patches]
    return Windows(tuple(patches), tuple(torch.nonzero(tasks).flatten().numpy() for tasks in seen))


def _window(top: int, left: int) -> NDArray[np.int64]:
    rows, columns = np.mgrid[top : top + _SIDE, left : left + _SIDE]
    return np.asarray((rows * PATCHES + columns).ravel(), np.int64)
