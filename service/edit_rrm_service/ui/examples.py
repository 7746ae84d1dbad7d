"""Examples that the shipped judge can judge: pictures of the shapes world.

They are drawn by `edit_rrm_training.shapes.page_examples`, which a test holds them to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """A source, edits of it, and what was asked of them."""

    instruction: str
    source: Path
    edited: tuple[Path, ...]
    """The best one first."""


def _read(folder: Path) -> tuple[Example, ...]:
    index = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    return tuple(
        Example(
            row["instruction"],
            folder / row["name"] / "source.png",
            tuple(folder / row["name"] / f"{name}.png" for name in row["edits"]),
        )
        for row in index
    )


EXAMPLES: Final = _read(FOLDER)
