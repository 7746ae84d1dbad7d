"""What a load asks: groups of edits, made from a seed, each different from all others. Pure."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from PIL import Image

from edit_rrm.principles import Category, Principle
from edit_rrm_client.group import Group
from edit_rrm_client.images import ImageFormat, encode_image

_COARSE = 16
_GRAIN = 6.0
"""Deviation of the noise over a picture, in levels of 255: a PNG of it is about as large as one of a photograph."""
_PATCH = 8
"""An edit changes a square of 1 / 8 of the side."""

_QUESTIONS = (
    ("Is what the instruction asks for there?", Category.INSTRUCTION_FOLLOWING),
    ("Is everything else as it was?", Category.FEATURE_PRESERVATION),
    ("Is the image free of artefacts?", Category.IMAGE_QUALITY),
    ("Is it in the place that was asked for?", Category.INSTRUCTION_FOLLOWING),
    ("Is the background as it was?", Category.FEATURE_PRESERVATION),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """Groups of one shape."""

    group_size: int = 24
    """Edits of a group."""
    side: int = 512
    """Of the square pictures, pixels."""
    instruction: str = "Change the color of the circle to blue."
    principles: int | None = None
    """Given with the request; the judge decomposes the instruction where left out."""
    repeats: float = 0.0
    """Share of groups, 0 to 1, whose source came before, with other edits: a run's later epochs."""
    image_format: ImageFormat = "webp"
    """What pictures are sent as."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.group_size < 1 or self.side < _COARSE or not 0.0 <= self.repeats <= 1.0:
            raise ValueError(f"group_size is at least 1, side at least {_COARSE}, and repeats from 0 to 1")
        if self.principles is not None and self.principles < 1:
            raise ValueError("principles is at least 1, or left out")


def group(workload: Workload, number: int) -> Group:
    """A group, encoded; the same arguments give the same one.

    Args:
        workload: Its shape.
        number: Its place in the load, from 0.
    """
    source = picture(workload.side, workload.seed, _prompt_of(workload, number))
    edits = [_edited(source, workload.seed, number, member) for member in range(workload.group_size)]
    return Group(
        workload.instruction,
        encode_image(Image.fromarray(source), workload.image_format),
        [encode_image(Image.fromarray(one), workload.image_format) for one in edits],
        None if workload.principles is None else principles(workload.principles),
    )


def prepared(workload: Workload, count: int, progress: Callable[[int], None] = lambda _: None) -> list[Group]:
    """The first groups of a load, made before it begins so that making them is not measured."""
    found = []
    with ThreadPoolExecutor() as pool:
        for one in pool.map(lambda number: group(workload, number), range(count)):
            found.append(one)
            progress(len(found))
    return found


def picture(side: int, *seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture, (side, side, 3), that compresses about as a photograph does: smooth, with noise on top."""
    rng = np.random.default_rng(list(seed))
    coarse = Image.fromarray(rng.integers(0, 256, (_COARSE, _COARSE, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noise = rng.normal(0.0, _GRAIN, (side, side, 3)).astype(np.int16)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def principles(count: int) -> tuple[Principle, ...]:
    """So many, of all categories; no two alike."""
    chosen = enumerate(islice(cycle(_QUESTIONS), count))
    return tuple(
        Principle(question=text if place < len(_QUESTIONS) else f"{text} ({place + 1})", category=category)
        for place, (text, category) in chosen
    )


def _prompt_of(workload: Workload, number: int) -> int:
    """Which source a group has: its own, or one that came before."""
    rng = np.random.default_rng([workload.seed, 1, number])
    if number == 0 or rng.random() >= workload.repeats:
        return number
    return _prompt_of(workload, int(rng.integers(number)))


def _edited(
    source: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *seed: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng([2, *seed])
    edited = source.copy()
    side = len(source)
    patch = max(1, side // _PATCH)
    top, left = rng.integers(0, side - patch + 1, 2)
    edited[top : top + patch, left : left + patch] = rng.integers(0, 256, 3, dtype=np.uint8)
    return edited
