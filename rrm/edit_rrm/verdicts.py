"""Verdicts, outcomes and rewards: what a judgement ends in.

A score is measured or it is absent. Every judged edit ends in exactly one `Outcome`; only `SCORED` carries numbers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edit_rrm.principles import Principle

SCORE_MAX = 10.0
"""Scores lie in [0, 10] (paper, appendix A.2); a reward is the score divided by this."""

Score = Annotated[float, Field(ge=0.0, le=SCORE_MAX, allow_inf_nan=False, strict=True)]
Unit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]
_ROUNDING = 1e-6


class Outcome(StrEnum):
    """How the judging of one edit ended."""

    SCORED = "scored"
    UNPARSABLE = "unparsable"
    TRUNCATED = "truncated"
    LOW_LABEL_MASS = "low_label_mass"
    TIMED_OUT = "timed_out"
    OVERLOADED = "overloaded"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    BAD_IMAGE = "bad_image"
    ENGINE_ERROR = "engine_error"


class Mode(StrEnum):
    """How principles are verified."""

    THINK = "think"
    """One generation reasons through all principles (the paper's way)."""
    PROBE = "probe"
    """One next-token yes/no read per principle; no decoding."""


class Aggregation(StrEnum):
    """How verdicts become one score; see `edit_rrm.aggregation`."""

    MODEL = "model"
    MEAN = "mean"
    WEIGHTED = "weighted"
    GEOMETRIC = "geometric"
    MIN = "min"
    PRODUCT = "product"


class Verdict(BaseModel):
    """The answer to one principle."""

    model_config = ConfigDict(frozen=True)

    principle: Principle
    passed: bool
    probability: Unit | None = None
    """P(yes) normalised over the labels (`probe`), or the share of `samples` that passed (`think`, K > 1)."""
    label_mass: Unit | None = None
    """Probability the judge gave to any of the labels at all (`probe` only)."""
    rationale: str | None = None
    """What the judge wrote about this principle (`think` only)."""


class Usage(BaseModel):
    """Tokens spent on one edit, summed over its engine calls."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens served from the engine's prefix cache."""
    completion_tokens: int = 0
    engine_calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Add up two usages field by field."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            engine_calls=self.engine_calls + other.engine_calls,
        )


class ErrorDetail(BaseModel):
    """The one shape of an error (HTTP bodies and failed items alike)."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Stable, machine-readable: an outcome (`bad_image`) or a request error (`invalid_request`)."""
    message: str
    """For people: what went wrong and what to do next."""
    param: str | None = None
    """Which input is at fault, such as `edited[3]`."""
    request_id: str | None = None
    retryable: bool = False
    """Whether sending the same request again can succeed."""


class Reward(BaseModel):
    """The judgement of one edit. Numbers are present exactly when `outcome` is `scored`."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    score: Score | None = None
    """0 unusable, 5 partly usable, 8 nearly usable, 10 perfect (paper, appendix A.2)."""
    reward: Unit | None = None
    """`score / 10`."""
    average: Unit | None = None
    """Plain mean of the verdicts."""
    aggregation: Aggregation | None = None
    mode: Mode | None = None
    verdicts: tuple[Verdict, ...] = ()
    reasoning: str | None = None
    samples: int = Field(default=1, ge=1)
    score_std: float | None = None
    """Sample standard deviation of the score over `samples`; null for one sample."""
    cache: Literal["hit", "miss", "shared", "bypass"] = "miss"
    request_id: str | None = None
    identity: str | None = None
    """Hash of what exactly judged; see `GET /v1/identity`."""
    usage: Usage = Usage()
    timing_ms: dict[str, float] = Field(default_factory=dict)
    error: ErrorDetail | None = None

    @model_validator(mode="after")
    def _measured_or_absent(self) -> Self:
        numbers = (self.score, self.reward, self.average, self.aggregation, self.mode)
        if self.outcome is Outcome.SCORED:
            if any(number is None for number in numbers) or self.error is not None:
                raise ValueError("a scored edit has score, reward, average, aggregation and mode, and no error")
            assert self.score is not None, "it was just looked for"
            assert self.reward is not None, "it was just looked for"
            if abs(self.reward - self.score / SCORE_MAX) > _ROUNDING:
                raise ValueError("a reward is the score divided by 10")
        elif self.score is not None or self.reward is not None or self.average is not None:
            raise ValueError("an edit that was not scored has no score, reward or average")
        elif self.error is None:
            raise ValueError("an edit that was not scored says why in `error`")
        return self
