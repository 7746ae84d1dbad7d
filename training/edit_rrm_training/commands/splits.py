"""Splits of the shapes world, as options name them."""

from __future__ import annotations

import typer

SPLIT_NAMES = "train, validation, held-out, held-out-combinations or held-out-phrasings"
"""For help texts; the shapes world itself is not imported for them."""


def check_split(split: str) -> None:
    """Return if there is such a split.

    Raises:
        BadParameter: There is not; the message lists those there are.
    """
    from edit_rrm_training.shapes import SPLITS

    if split not in SPLITS:
        raise typer.BadParameter(f"no split {split!r}; there are: {', '.join(SPLITS)}", param_hint="--split")
