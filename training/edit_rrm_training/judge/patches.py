"""Pixels -> patches, as Qwen2.5-VL's processor makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edit_rrm_training.judge.architecture import MERGE, PATCH, SIDE
from edit_rrm_training.shapes import Pixels

_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def patches(images: Sequence[Pixels]) -> NDArray[np.float32]:
    """Images as Qwen2.5-VL's processor hands them to the model.

    Args:
        images: B images of the shapes world.

    Returns:
        Normalised patches, shape (B * 36, 1176): merge blocks row by row, each patch as (channel, time, y, x).
    """
    stacked = (np.stack(images).astype(np.float32) / 255.0 - _MEAN) / _STD
    tiles = stacked.reshape(len(images), SIDE, MERGE, PATCH, SIDE, MERGE, PATCH, 3)
    tiles = tiles.transpose(0, 1, 4, 2, 5, 7, 3, 6).reshape(-1, 3, 1, PATCH, PATCH)
    return np.ascontiguousarray(np.broadcast_to(tiles, (tiles.shape[0], 3, 2, PATCH, PATCH))).reshape(
        -1, 6 * PATCH * PATCH
    )
