"""Requests are strict, responses tolerant, and a reward is measured or absent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from edit_rrm.principles import MAX_INSTRUCTION_CHARS, MAX_PRINCIPLES, Category, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Usage
from edit_rrm.wire import DecomposeResponse, ErrorBody, RewardRequest, RewardsJson, VerifyRequest

PRINCIPLE = {"question": "Is it blue?", "category": "instruction_following"}
SCORED: dict[str, Any] = {
    "outcome": "scored", "score": 7.5, "reward": 0.75, "average": 0.8, "aggregation": "model", "mode": "think",
}  # fmt: skip
WHY: dict[str, Any] = {"code": "unparsable", "message": "no score"}


@pytest.mark.parametrize(
    ("model", "fields", "where"),
    [
        (RewardRequest, {"instruction": ""}, "instruction"),
        (RewardRequest, {"instruction": "   "}, "instruction"),
        (RewardRequest, {"instruction": "x" * (MAX_INSTRUCTION_CHARS + 1)}, "instruction"),
        (RewardRequest, {}, "instruction"),
        (RewardRequest, {"instruction": "blue", "sampels": 3}, "sampels"),
        (RewardRequest, {"instruction": "blue", "samples": 0}, "samples"),
        (RewardRequest, {"instruction": "blue", "samples": 17}, "samples"),
        (RewardRequest, {"instruction": "blue", "mode": "guess"}, "mode"),
        (RewardRequest, {"instruction": "blue", "principles": []}, "principles"),
        (RewardRequest, {"instruction": "blue", "principles": [PRINCIPLE] * (MAX_PRINCIPLES + 1)}, "principles"),
        (RewardRequest, {"instruction": "blue", "principles": [{**PRINCIPLE, "weight": 2}]}, "principles"),
        (RewardRequest, {"instruction": "blue", "principles": [{**PRINCIPLE, "category": "taste"}]}, "principles"),
        (VerifyRequest, {"instruction": "blue"}, "principles"),
        (RewardsJson, {"instruction": "blue", "source": "aa", "edited": []}, "edited"),
    ],
)
def test_a_request_that_says_something_else_is_refused(
    model: type[BaseModel], fields: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(fields)
    assert caught.value.errors()[0]["loc"][0] == where


def test_responses_take_fields_to_come() -> None:
    body = {"principles": [PRINCIPLE], "request_id": "r", "identity": "i", "from_the_future": 1}
    assert DecomposeResponse.model_validate(body).principles[0].category is Category.INSTRUCTION_FOLLOWING
    assert ErrorBody.model_validate({"error": {**WHY, "hint": "new"}}).error.retryable is False


def test_a_scored_reward_has_its_numbers() -> None:
    reward = Reward.model_validate(SCORED)
    assert (reward.score, reward.aggregation, reward.mode) == (7.5, Aggregation.MODEL, Mode.THINK)


@pytest.mark.parametrize("missing", ["score", "reward", "average", "aggregation", "mode"])
def test_a_scored_reward_without_one_of_them_cannot_exist(missing: str) -> None:
    with pytest.raises(ValidationError, match="a scored edit has score"):
        Reward.model_validate({**SCORED, missing: None})


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SCORED])
def test_no_other_outcome_can_carry_a_number_or_hide_its_reason(outcome: Outcome) -> None:
    assert Reward(outcome=outcome, error=ErrorDetail(**WHY)).reward is None
    with pytest.raises(ValidationError, match="says why"):
        Reward(outcome=outcome)
    for number in ("score", "reward", "average"):
        with pytest.raises(ValidationError, match="has no score"):
            Reward.model_validate({"outcome": outcome, "error": WHY, number: 0.0})


@pytest.mark.parametrize(("field", "value"), [("score", 10.5), ("score", -1), ("reward", 1.5), ("score", float("nan"))])
def test_numbers_stay_in_their_range(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Reward.model_validate({**SCORED, field: value})


counts = st.builds(
    Usage,
    prompt_tokens=st.integers(0, 99),
    cached_tokens=st.integers(0, 99),
    completion_tokens=st.integers(0, 99),
    engine_calls=st.integers(0, 9),
)


@given(counts, counts)
def test_usage_adds_up_field_by_field(one: Usage, other: Usage) -> None:
    total = (one + other).model_dump()
    assert total == {name: value + other.model_dump()[name] for name, value in one.model_dump().items()}


def test_questions_are_trimmed() -> None:
    assert Principle(question="  Is it blue? ", category=Category.IMAGE_QUALITY).question == "Is it blue?"


@pytest.mark.parametrize("field", ["samples", "seed", "temperature"])
def test_true_is_no_number(field: str) -> None:
    with pytest.raises(ValidationError, match="not true or false"):
        RewardRequest.model_validate({"instruction": "make it blue", field: True})
    assert RewardRequest.model_validate({"instruction": "make it blue", field: "1"}) == RewardRequest.model_validate(
        {"instruction": "make it blue", field: 1}
    )


@pytest.mark.parametrize(
    "changed", [{"reward": 0.9}, {"score": True, "reward": 0.1}, {"average": True}, {"reward": "0.75"}]
)
def test_numbers_that_are_none_or_do_not_agree_are_no_reward(changed: dict[str, Any]) -> None:
    Reward.model_validate(SCORED)
    with pytest.raises(ValidationError):
        Reward.model_validate(SCORED | changed)
