"""HTTP requests and responses (v1). Requests are strict, responses tolerant of fields to come.

Images are not in these request models: multipart bodies carry them as files beside a `request` part with one of these
models as JSON (or as plain form fields); JSON bodies add `source` and `edited` as base64 (`*Json` models).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edit_rrm.principles import MAX_PRINCIPLES, Instruction, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Reward, Usage, Verdict

MAX_SAMPLES = 16
"""Most samples averaged for one edit."""

MAX_EDITS = 128
"""Most edits of one source in one request."""


def _bounded(value: object) -> object:
    """Refuse a list that is far too long before any of it is looked at: a million wrong items are a million errors."""
    if isinstance(value, list) and len(value) > MAX_PRINCIPLES:
        raise ValueError(f"{len(value)} principles came; at most {MAX_PRINCIPLES} are accepted")
    return value


Principles = Annotated[tuple[Principle, ...], Field(min_length=1, max_length=MAX_PRINCIPLES), BeforeValidator(_bounded)]
Base64 = Annotated[str, Field(json_schema_extra={"format": "byte"})]
"""An image file in base64, or a data URL of one."""


def _no_boolean(value: object) -> object:
    """Refuse true and false where a number is meant: Python takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is wanted here, not true or false")
    return value


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Real = Annotated[float, BeforeValidator(_no_boolean)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: Instruction
    """What the edit was meant to do, 1 to 4,000 characters."""


class DecomposeRequest(_Request):
    """`POST /v1/decompose`: which principles does this edit have to meet?"""


class RewardRequest(_Request):
    """`POST /v1/reward` and `/v1/rewards`: how good is this edit, or are these edits of one source?"""

    principles: Principles | None = None
    """Principles to verify; left out, the judge decomposes the instruction once per (instruction, source)."""
    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    """Left out: `model` for `think`, `geometric` for `probe` (unless the judge card says otherwise)."""
    samples: Whole = Field(default=1, ge=1, le=MAX_SAMPLES)
    """Repeat `think` this often and return the mean and spread of the scores."""
    temperature: Real | None = Field(default=None, ge=0.0, le=2.0)
    seed: Whole | None = Field(default=None, ge=0, lt=2**31)


class VerifyRequest(_Request):
    """`POST /v1/verify`: check these principles on this edit; verdicts and reasoning, no score."""

    principles: Principles
    mode: Mode = Mode.THINK
    temperature: Real | None = Field(default=None, ge=0.0, le=2.0)
    seed: Whole | None = Field(default=None, ge=0, lt=2**31)


class DecomposeJson(DecomposeRequest):
    """`DecomposeRequest` with its image in base64."""

    source: Base64


class RewardJson(RewardRequest):
    """`RewardRequest` for one edit, images in base64."""

    source: Base64
    edited: Base64


class RewardsJson(RewardRequest):
    """`RewardRequest` for a group of edits, images in base64."""

    source: Base64
    edited: Annotated[tuple[Base64, ...], Field(min_length=1, max_length=MAX_EDITS)]


class VerifyJson(VerifyRequest):
    """`VerifyRequest` with its images in base64."""

    source: Base64
    edited: Base64


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DecomposeResponse(_Response):
    """The principles of an instruction."""

    principles: tuple[Principle, ...]
    request_id: str
    identity: str
    usage: Usage = Usage()
    timing_ms: dict[str, float] = Field(default_factory=dict)


class VerifyResponse(_Response):
    """Verdicts on the principles sent."""

    verdicts: tuple[Verdict, ...]
    reasoning: str | None = None
    mode: Mode
    request_id: str
    identity: str
    usage: Usage = Usage()
    timing_ms: dict[str, float] = Field(default_factory=dict)


class RewardsResponse(_Response):
    """One result per edit, in the order sent, each with its own outcome."""

    results: tuple[Reward, ...]
    principles: tuple[Principle, ...] | None = None
    """What the group was judged by; null where the decomposition itself failed."""
    request_id: str
    identity: str
    usage: Usage = Usage()
    timing_ms: dict[str, float] = Field(default_factory=dict)


class Identity(_Response):
    """What exactly is judging, and its hash."""

    identity: str
    """SHA-256 (hex) over `facts`."""
    name: str
    summary: str = ""
    """Where to trust this judge, and where not to."""
    facts: dict[str, Any]
    """Weights, prompts, preprocessing, sampling and software: all that could move a score."""


class ErrorBody(_Response):
    """Body of every reply that is not 2xx."""

    error: ErrorDetail


__all__ = [
    "MAX_EDITS",
    "MAX_SAMPLES",
    "Aggregation",
    "DecomposeJson",
    "DecomposeRequest",
    "DecomposeResponse",
    "ErrorBody",
    "Identity",
    "Mode",
    "RewardJson",
    "RewardRequest",
    "RewardsJson",
    "RewardsResponse",
    "VerifyJson",
    "VerifyRequest",
    "VerifyResponse",
]
