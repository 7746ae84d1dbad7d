"""Principles: the yes/no questions an edit instruction is broken into (paper, appendix A.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

MAX_QUESTION_CHARS = 500
"""Longest question accepted; the paper's examples stay under 200 characters."""

MAX_PRINCIPLES = 32
"""Most principles one judgement may have; the paper uses 10."""

MAX_INSTRUCTION_CHARS = 4_000
"""Longest edit instruction accepted; public benchmarks stay under 600 characters."""

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]
Instruction = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_INSTRUCTION_CHARS)]


class Category(StrEnum):
    """What a principle protects. The paper also calls them Follow, Keep and Quality."""

    INSTRUCTION_FOLLOWING = "instruction_following"
    FEATURE_PRESERVATION = "feature_preservation"
    IMAGE_QUALITY = "image_quality"


class Principle(BaseModel):
    """One yes/no question about an edit, phrased so that "yes" is good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: Question
    """The question, 1 to 500 characters."""
    category: Category
    """What the question protects; aggregation weighs by it."""
