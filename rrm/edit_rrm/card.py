"""The judge card: `edit_rrm.json`, which travels with a checkpoint and says how to talk to it, and what it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edit_rrm.verdicts import Aggregation

CARD_FILE = "edit_rrm.json"
"""Name of the card beside a checkpoint's `config.json`."""


class ProbeLabels(BaseModel):
    """Answers a probe reads. Each must be one token after the chat template's assistant cue; variants add up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    yes: tuple[str, ...] = Field(default=("Yes", "yes"), min_length=1)
    no: tuple[str, ...] = Field(default=("No", "no"), min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({*self.yes, *self.no}) != len(self.yes) + len(self.no):
            raise ValueError("every label must be listed once, under yes or under no")
        return self


class ImageBudget(BaseModel):
    """Pixels an image may have when the judge sees it; larger ones are scaled down, smaller ones up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_pixels: int = Field(default=56 * 56, ge=1)
    max_pixels: int = Field(default=1_003_520, ge=1)
    """The default is 1,280 visual tokens of Qwen2.5-VL (28 x 28 pixels each)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels must not exceed max_pixels")
        return self


class SamplingDefaults(BaseModel):
    """How the judge samples unless a request says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    decompose_max_tokens: int = Field(default=1_024, ge=1)
    think_max_tokens: int = Field(default=2_048, ge=1)
    samples_temperature: float = Field(default=0.7, gt=0.0, le=2.0)
    """Temperature used for `samples` > 1 where a request names none: repeating a greedy read measures nothing."""


class JudgeCard(BaseModel):
    """What a checkpoint needs to be served as a judge. The defaults suit a full-size instruction-tuned VLM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=1, ge=1, le=1)
    name: str = "unnamed"
    summary: str = ""
    """One paragraph: what it judges well, and where not to trust it."""
    prompts: str = "standard"
    """Name of the prompt set it was trained with, or is to be prompted with."""
    prompts_fingerprint: str | None = None
    """Fingerprint of that set at training time; a mismatch at start-up is an error."""
    labels: ProbeLabels = ProbeLabels()
    label_mass_floor: float = Field(default=0.5, ge=0.0, le=1.0)
    """A probe whose labels together get less probability than this is `low_label_mass`, not a number."""
    image: ImageBudget = ImageBudget()
    sampling: SamplingDefaults = SamplingDefaults()
    think_aggregation: Aggregation = Aggregation.MODEL
    probe_aggregation: Aggregation = Aggregation.GEOMETRIC
    max_model_len: int | None = Field(default=None, ge=1)
    """Context length to serve with; null leaves it to the checkpoint's configuration."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Recipe, seed, wall time, software: whatever made this checkpoint."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    """Measured figures, with the commands that print them."""


class CardError(ValueError):
    """A judge card that cannot be used; the message says which file and what to change."""


def load_card(checkpoint: Path) -> JudgeCard | None:
    """Read the card beside a checkpoint.

    Returns:
        The card, or None where the folder has none.

    Raises:
        CardError: The file is not valid JSON, or not a card this version understands.
    """
    path = checkpoint / CARD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return JudgeCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(piece) for piece in first["loc"]) or "the file"
        raise CardError(f"{path}: {where}: {first['msg']}") from None


def save_card(card: JudgeCard, checkpoint: Path) -> Path:
    """Write a card beside a checkpoint and return its path."""
    path = checkpoint / CARD_FILE
    path.write_text(json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
