"""Small pictures of an evaluation, one file each, so that a page can show any row of it beside what the judge said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from edit_rrm_training.small_pictures import save_small

MOST: Final = 48
"""Prompts of an evaluation whose pictures are kept."""

_SIDE: Final = 512
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
        kept = {"source": f"{_SOURCES}/{row:03d}.webp", "picture": f"{_step(step)}/{row:03d}.webp"}
        if not (folder / kept["source"]).exists():
            save_small(source, folder / kept["source"], _SIDE)
        save_small(edit, folder / kept["picture"], _SIDE)
        names.append(kept)
    return names


def kept_edits(folder: Path, step: int) -> list[Image.Image]:
    """Read the edits of an evaluation again, small as they were kept.

    Args:
        folder: Of a run's pictures.
        step: That the edits were made after.

    Returns:
        Those of the first prompts, in their order; none where there was no such evaluation.
    """
    found = []
    for path in sorted((folder / _step(step)).glob("*.webp")):
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    return found


def _step(number: int) -> str:
    return f"step-{number:06d}"
