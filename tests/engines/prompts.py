"""Prompts as the judge sends them: one source, many edits, real prompt sets, made-up pictures."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from edit_rrm import Category, Principle, load_prompt_set
from edit_rrm.card import ImageBudget, JudgeCard
from edit_rrm.prompts import ImagePart, RenderedPrompt
from edit_rrm_service.engines.base import EngineImage, Prompt

SIDE = 112
LABELS = ("Yes", "yes", "No", "no")
INSTRUCTION = "Paint the large red circle blue and leave everything else as it is"
PRINCIPLES = tuple(
    Principle(question=question, category=category)
    for question, category in (
        ("Is the large circle blue?", Category.INSTRUCTION_FOLLOWING),
        ("Is the small square still where it was?", Category.FEATURE_PRESERVATION),
        ("Is the picture free of noise?", Category.IMAGE_QUALITY),
    )
)


def card(prompts: str = "standard", max_model_len: int | None = 2_048) -> JudgeCard:
    """A card for pictures of 112 x 112 pixels."""
    budget = ImageBudget(min_pixels=SIDE * SIDE, max_pixels=SIDE * SIDE)
    return JudgeCard(name="test", prompts=prompts, image=budget, max_model_len=max_model_len)


def picture(seed: int, side: int = SIDE) -> EngineImage:
    """A picture of coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    pixels = Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)
    return EngineImage(pixels, hashlib.sha256(pixels.tobytes()).hexdigest())


def fill(rendered: RenderedPrompt, source: EngineImage, edited: EngineImage | None) -> Prompt:
    """Put images into a rendered prompt."""
    parts: list[str | EngineImage] = []
    for part in rendered.parts:
        if not isinstance(part, ImagePart):
            parts.append(part.text)
        elif part.role == "source":
            parts.append(source)
        else:
            assert edited is not None
            parts.append(edited)
    return Prompt(rendered.system, tuple(parts))


def thinks(
    count: int, *, prompts: str = "standard", instruction: str = INSTRUCTION, seed: int = 0, side: int = SIDE
) -> list[Prompt]:
    """`think` prompts for `count` edits of one source."""
    rendered = load_prompt_set(prompts).think(instruction, PRINCIPLES)
    source, edits = pictures(count, seed, side)
    return [fill(rendered, source, edited) for edited in edits]


def probes(
    count: int, *, prompts: str = "standard", instruction: str = INSTRUCTION, seed: int = 0, side: int = SIDE
) -> list[Prompt]:
    """`probe` prompts, every principle of `count` edits of one source, edit by edit."""
    rendered = [load_prompt_set(prompts).probe(instruction, PRINCIPLES, index) for index in range(len(PRINCIPLES))]
    source, edits = pictures(count, seed, side)
    return [fill(one, source, edited) for edited in edits for one in rendered]


def decomposition(*, prompts: str = "standard", instruction: str = INSTRUCTION, seed: int = 0) -> Prompt:
    """A `decompose` prompt, which has one image only."""
    return fill(load_prompt_set(prompts).decompose(instruction), picture(1_000 + seed), None)


def pictures(count: int, seed: int, side: int) -> tuple[EngineImage, list[EngineImage]]:
    """A source and its edits, other ones for every seed."""
    return picture(1_000 + seed, side), [picture(2_000 + 100 * seed + index, side) for index in range(count)]
