"""Pairs of the shapes world: preferences by its hidden utility, with no end and no download."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import Image

from edit_rrm_training.judge.pairs.pair import Pair, Picture, Rejected
from edit_rrm_training.judge.pairs.sources.pictures import pixel_digest
from edit_rrm_training.shapes import Pixels
from edit_rrm_training.shapes.preferences import Preference, preference
from edit_rrm_training.shapes.sample import seed_of

DEFAULT_COUNT = 3_000


class ShapesSource:
    """Makes preferences on shapes."""

    resize_edits: bool = False

    def __init__(self, split: str, limit: int | None = None, *, oracle_principles: bool = False) -> None:
        """Choose them.

        Raises:
            ValueError: There is no such split.
        """
        seed_of(split)
        self._split = split
        self._count = DEFAULT_COUNT if limit is None else limit
        self._oracle_principles = oracle_principles

    def __len__(self) -> int:
        """How many pairs there are."""
        return self._count

    def rows(self) -> Iterator[Pair | Rejected]:
        """Every pair, in order."""
        for index in range(self._count):
            made = preference(self._split, index)
            findings = made.truths[0].findings
            yield Pair(
                f"pair {index} of {self._split}",
                made.instruction,
                _picture(made, Preference.source_pixels),
                _picture(made, Preference.better_pixels),
                _picture(made, Preference.worse_pixels),
                category=made.edit.kind,
                principles=tuple(finding.principle for finding in findings) if self._oracle_principles else None,
            )


def _picture(made: Preference, pixels: Callable[[Preference], Pixels]) -> Picture:
    return Picture(pixel_digest(Image.fromarray(pixels(made))), lambda: Image.fromarray(pixels(made)))
