"""Small copies of pictures, for people to look at: nobody judges or trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from edit_rrm_training.judge.upright import upright_rgb

_QUALITY: Final = 90
_EXACT: Final = 128 * 128
"""Pixels up to which a copy is exact: lossy compression would blur what small pictures are judged by."""


def save_small(picture: Image.Image, path: Path, side: int) -> None:
    """Write a copy as WebP, its longer side at most `side` pixels, into a folder that is made where it is missing.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    small = upright_rgb(picture)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(path, "WEBP", lossless=small.width * small.height <= _EXACT, quality=_QUALITY)
