"""Editors that come with the package, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SHIPPED: Final = ("nano", "nano-grpo")
"""Names: `nano` is nano-editor, the small FLUX.1-Kontext of the shapes world, as pre-training left it; `nano-grpo` is
the mean of two runs of 60 steps on the shipped judge's rewards (docs/editor-training.md)."""


def editor_path(model: str | Path) -> Path:
    """The folder of an editor.

    Args:
        model: A folder, or the name of a shipped one; a folder of that name goes before.
    """
    path = Path(model)
    if str(model) in SHIPPED and not path.exists():
        return Path(__file__).parent / "editors" / str(model)
    return path
