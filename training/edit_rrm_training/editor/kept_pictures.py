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
        kept = {"source": f"{_SOURCES}/{row:03d}.webp", "picture": f"step-{step:06d}/{row:03d}.webp"}
        if not (folder / kept["source"]).exists():
            save_small(source, folder / kept["source"], _SIDE)
        save_small(edit, folder / kept["picture"], _SIDE)
        names.append(kept)
    return names
