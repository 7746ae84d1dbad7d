"""Answers of a service, made up."""

from __future__ import annotations

from typing import Any

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Usage, Verdict
from edit_rrm.wire import RewardsResponse

FOLLOW = Principle(question="Is the star blue?", category=Category.INSTRUCTION_FOLLOWING)
KEEP = Principle(question="Is the rest as it was?", category=Category.FEATURE_PRESERVATION)


def verdict(principle: Principle = FOLLOW, passed: bool = True, **fields: Any) -> Verdict:
    return Verdict(principle=principle, passed=passed, **fields)


def scored(score: float, *verdicts: Verdict, **fields: Any) -> Reward:
    return Reward(
        outcome=Outcome.SCORED,
        score=score,
        reward=score / 10.0,
        average=0.5,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        verdicts=verdicts or (verdict(),),
        **fields,
    )


def failed(outcome: Outcome = Outcome.BAD_IMAGE, message: str = "the file is no image") -> Reward:
    return Reward(outcome=outcome, error=ErrorDetail(code=outcome.value, message=message))


def group(*results: Reward) -> RewardsResponse:
    return RewardsResponse(
        results=results,
        principles=(FOLLOW, KEEP),
        request_id="r-1",
        identity="abcdef0123456789",
        usage=Usage(),
        timing_ms={"total": 1234.0},
    )
