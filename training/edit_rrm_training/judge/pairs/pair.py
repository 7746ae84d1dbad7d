"""A pair: two edits of one source, and which of them people prefer. What every reader of a benchmark makes of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from os import PathLike

from PIL import Image

from edit_rrm.principles import Principle

StoredImage = Image.Image | bytes | str | PathLike[str]
"""A picture as benchmarks hold it: decoded, a file's content, or its path."""


class Reason(StrEnum):
    """Why a row is not used. Each row is counted under one of them."""

    MISSING_IMAGE = "missing_image"
    """The row has no image, or names a file that is not there."""
    UNREADABLE_IMAGE = "unreadable_image"
    BAD_INSTRUCTION = "bad_instruction"
    """Empty, or longer than the service takes."""
    BAD_PRINCIPLES = "bad_principles"
    """The row's own principles are none."""
    UNKNOWN_PREFERENCE = "unknown_preference"
    """The label that says which edit is better is none that the format has."""
    IDENTICAL_IMAGES = "identical_images"
    """Both edits are the same picture: nothing could tell which is better."""
    DUPLICATE = "duplicate"
    """An earlier row says the same of the same two edits."""
    CONTRADICTORY = "contradictory"
    """Rows disagree about the same two edits; all of them are dropped."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not used."""

    row: str
    """Where it is, for people: `row 12 of test.parquet`."""
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that is loaded when it is needed: benchmarks are gigabytes."""

    digest: str
    """Of the pixels, so that one picture saved twice is one picture."""
    load: Callable[[], StoredImage]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The K-way ranking that a pair is one relation of."""

    name: str
    size: int
    """K: edits ranked, so that there are K (K - 1) / 2 relations."""

    @property
    def relations(self) -> int:
        """How many pairs the whole ranking has."""
        return self.size * (self.size - 1) // 2


@dataclass(frozen=True, slots=True)
class Pair:
    """Two edits of one source."""

    row: str
    instruction: str
    source: Picture
    better: Picture
    worse: Picture
    tied: bool = False
    """People call the two equally good; the order then means nothing."""
    category: str | None = None
    """Kind of edit."""
    dimension: str | None = None
    """What the preference is about, where a benchmark asks about several things."""
    ranking: Ranking | None = None
    principles: tuple[Principle, ...] | None = None
    """What to judge by; None lets the judge decompose the instruction."""
