"""How many rewards a second a judge gives, from what its engine computes a second and from a group's shape. Pure.

An engine that keeps prefixes computes of a group: its common prefix (text, and the source) once, every edited image
once, and for every question what follows the edited image, with the part of the prefix that filled no block of the
cache. All of it takes the same processor one after the other, so times add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edit_rrm.verdicts import Mode


@dataclass(frozen=True, slots=True)
class Shape:
    """A group, in tokens."""

    group_size: int
    """Edits."""
    principles: int
    image_tokens: float
    """Of one image, as the judge sees it."""
    text_tokens: float
    """Of the prompt before the first image."""
    question_tokens: float
    """Of the prompt after the edited image."""
    answer_tokens: float = 0.0
    """Written for one edit in mode ``think``."""
    mode: Mode = Mode.PROBE
    block: int = 16
    """Tokens of a block of the prefix cache."""

    @property
    def prompts(self) -> int:
        """For one edit."""
        return self.principles if self.mode is Mode.PROBE else 1

    @property
    def computed_tokens(self) -> float:
        """Of prompts, for one edit; half a block is lost for every prompt on average."""
        common = (self.text_tokens + self.image_tokens) / self.group_size
        return common + self.image_tokens + self.prompts * (self.question_tokens + self.block / 2)

    @property
    def encoded_images(self) -> float:
        """For one edit: itself, and its share of the source."""
        return 1.0 + 1.0 / self.group_size


@dataclass(frozen=True, slots=True)
class Rates:
    """What an engine does a second, with nothing else to do."""

    prompt_tokens: float
    """Computed of prompts (prefill)."""
    images: float
    """Through the vision encoder, of the size that the shape has."""
    answer_tokens: float = float("inf")
    """Written, over all that are written at a time (decode)."""


def rewards_per_s(shape: Shape, rates: Rates) -> float:
    """Rewards a second of one engine that always has a group waiting.

    Args:
        shape: Of groups.
        rates: Of the engine.
    """
    written = shape.answer_tokens if shape.mode is Mode.THINK else 0.0
    seconds = shape.computed_tokens / rates.prompt_tokens + shape.encoded_images / rates.images
    return 1.0 / (seconds + written / rates.answer_tokens)


def fitted(measured: Mapping[Shape, float]) -> Rates:
    """The rates that explain what was measured in mode ``probe``, by least squares of the seconds of a reward.

    Args:
        measured: Rewards a second by shape, all of one image size and at least two.

    Raises:
        ValueError: There are too few, or they tell nothing apart.
    """
    rows = [(shape.computed_tokens, shape.encoded_images, 1.0 / rate) for shape, rate in measured.items()]
    token, image = _least_squares(rows)
    if token <= 0.0 or image <= 0.0:
        raise ValueError("what was measured does not grow with tokens and images; measure shapes that differ more")
    return Rates(1.0 / token, 1.0 / image)


def _least_squares(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Factors of the first two columns whose sum is closest to the third, relative to it."""
    weighed = [(one / seconds, other / seconds) for one, other, seconds in rows]
    aa = sum(one * one for one, _ in weighed)
    ab = sum(one * other for one, other in weighed)
    bb = sum(other * other for _, other in weighed)
    a, b = sum(one for one, _ in weighed), sum(other for _, other in weighed)
    determinant = aa * bb - ab * ab
    if len(rows) < 2 or determinant <= 1e-9 * aa * bb:
        raise ValueError("too few shapes, or shapes too alike, to tell tokens from images")
    return (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
