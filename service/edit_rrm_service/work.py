"""How much work a request is, in tokens, before anything is known of it but its words and its images' sizes. Pure.

Prefixes are counted once: a group shares everything up to the edited image, and the probes of one edit everything up to
their question. A decoded token takes an engine longer than a prompt's token, so it is counted several times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edit_rrm.card import JudgeCard
from edit_rrm.verdicts import Mode

DECODE_WEIGHT = 4
"""Prompt tokens that a decoded token is worth."""

_PIXELS_PER_TOKEN = 28 * 28
"""Of Qwen2.5-VL; others are within a factor of two, and the measured drain rate takes up the difference."""
_CHARACTERS_PER_TOKEN = 4
_RUBRIC_TOKENS = 300
"""System turn, rules of the answer and the template's own tokens."""
_TOKENS_PER_PRINCIPLE = 24
_PRINCIPLES = 7
"""Expected of an instruction that has not been decomposed yet."""
_FOLLOWED = 0.05
"""Weight of a new observation: the last twenty or so decide."""


@dataclass(frozen=True, slots=True)
class Work:
    """Of one request, in tokens; all at least 1."""

    decompose: int
    """0 where the principles came with the request."""
    first: int
    """The first edit of a group, which brings the shared prefix along."""
    more: int
    """Every further one."""

    def total(self, edits: int) -> int:
        """The whole request of `edits` edits (1 or more)."""
        return self.decompose + self.first + self.more * (edits - 1)


class WorkModel:
    """Predicts work from a judge card, and follows what its answers turn out to be long."""

    def __init__(self, card: JudgeCard) -> None:
        """Begin with a quarter of what answers may be long at most."""
        self._image = card.image
        self._answer_tokens = {
            "decompose": card.sampling.decompose_max_tokens / 4,
            Mode.THINK.value: card.sampling.think_max_tokens / 4,
        }

    def predict(
        self,
        instruction: str,
        principles: Sequence[str] | None,
        mode: Mode,
        *,
        samples: int = 1,
        pixels: int | None = None,
    ) -> Work:
        """Predict a request's work.

        Args:
            instruction: The request's.
            principles: Questions that came with it.
            mode: How they are verified.
            samples: Answers to each edit.
            pixels: Of an image as it came; None where that is not known, and the judge's budget is taken for it.
        """
        image = self.image_tokens(pixels)
        words = _RUBRIC_TOKENS + len(instruction) // _CHARACTERS_PER_TOKEN
        decompose = 0
        if principles is None:
            decompose = words + image + round(DECODE_WEIGHT * self._answer_tokens["decompose"])
            asked, count = _PRINCIPLES * _TOKENS_PER_PRINCIPLE, _PRINCIPLES
        else:
            asked, count = sum(len(question) for question in principles) // _CHARACTERS_PER_TOKEN, len(principles)
        if mode is Mode.PROBE:
            answers = count * _TOKENS_PER_PRINCIPLE
        else:
            answers = samples * round(DECODE_WEIGHT * self._answer_tokens[Mode.THINK.value])
        more = max(1, image + answers)
        return Work(decompose, more + words + asked + image, more)

    def image_tokens(self, pixels: int | None) -> int:
        """Visual tokens of an image after it has been brought into the judge's budget."""
        budget = self._image.max_pixels
        seen = budget if pixels is None else min(max(pixels, self._image.min_pixels), budget)
        return math.ceil(seen / _PIXELS_PER_TOKEN)

    def answered(self, task: str, tokens: int) -> None:
        """Follow what an answer to `decompose` or `think` was long."""
        self._answer_tokens[task] += _FOLLOWED * (tokens - self._answer_tokens[task])
