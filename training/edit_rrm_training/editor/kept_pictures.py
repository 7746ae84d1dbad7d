"""Small pictures of an evaluation, one file each, so that a page can show any row of it beside what the judge said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

MOST: Final = 48
"""Prompts of an evaluation whose pictures are kept."""

_SIDE: Final = 512
_QUALITY: Final = 90
_SOURCES: Final = "sources"


def keep_pictures(
    folder: Path, step: int, sources: Sequence[Image.Image], edits: Sequence[Image.Image]
) -> list[dict[str, str]]:
    """Write the first prompts' sources (once) and edits.

    Args:
        folder: Of a run's pictures.
        step: That the edits were made after.
        sources: Of all prompts.
        edits: One of each.

    Returns:
        For every prompt, the files' names in the folder under `source` and `picture`; nothing for those not kept.
    """
    names: list[dict[str, str]] = []
    for row, (source, edit) in enumerate(zip(sources, edits, strict=True)):
        if row >= MOST:
            names.append({})
            continue
        kept = {"source": f"{_SOURCES}/{row:03d}.webp", "picture": f"step-{step:06d}/{row:03d}.webp"}
        _save(source, folder / kept["source"], again=False)
        _save(edit, folder / kept["picture"])
        names.append(kept)
    return names


def _save(picture: Image.Image, path: Path, *, again: bool = True) -> None:
    if not again and path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    # Lossy compression would blur what small pictures are judged by.
    small.save(path, "WEBP", lossless=small.width * small.height <= 128 * 128, quality=_QUALITY)
