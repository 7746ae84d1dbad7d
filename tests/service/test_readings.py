"""Label log-probabilities become P(yes) and a mass, or a typed failure; never an invented number."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edit_rrm.card import ProbeLabels
from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Outcome
from edit_rrm_service.errors import UnscoredError
from edit_rrm_service.readings import verdict_from_logprobs

PRINCIPLE = Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING)
LABELS = ProbeLabels()


def test_variants_of_an_answer_add_up() -> None:
    logprobs = {"Yes": math.log(0.3), "yes": math.log(0.15), "No": math.log(0.1), "no": math.log(0.05)}
    verdict = verdict_from_logprobs(PRINCIPLE, logprobs, LABELS, 0.5)
    assert verdict.probability == pytest.approx(0.75)
    assert verdict.label_mass == pytest.approx(0.6)
    assert verdict.passed
    assert verdict.principle is PRINCIPLE


def test_a_label_the_engine_has_no_number_for_counts_as_nothing() -> None:
    verdict = verdict_from_logprobs(PRINCIPLE, {"No": math.log(0.9), "Yes": -math.inf}, LABELS, 0.5)
    assert (verdict.probability, verdict.passed) == (0.0, False)


def test_at_one_half_it_passes() -> None:
    assert verdict_from_logprobs(PRINCIPLE, {"Yes": -1.0, "No": -1.0}, LABELS, 0.5).passed


@pytest.mark.parametrize(
    ("logprobs", "floor"),
    [
        ({"Yes": math.log(0.3), "No": math.log(0.1)}, 0.5),
        ({"Yes": -math.inf, "No": -math.inf}, 0.0),
        ({"Yes": -1e6, "No": -1e6}, 0.0),
        ({}, 0.0),
        ({"Perhaps": 0.0}, 0.5),
    ],
)
def test_under_the_floor_there_is_no_number(logprobs: dict[str, float], floor: float) -> None:
    with pytest.raises(UnscoredError) as caught:
        verdict_from_logprobs(PRINCIPLE, logprobs, LABELS, floor)
    assert caught.value.outcome is Outcome.LOW_LABEL_MASS
    assert "think" in caught.value.message


LOGPROB = st.floats(-200.0, 0.0) | st.just(-math.inf)


@given(LOGPROB, LOGPROB, st.floats(0.0, 1.0))
def test_the_probability_is_normalised_over_the_labels(yes: float, no: float, floor: float) -> None:
    mass = math.exp(yes) + math.exp(no)
    assume(mass >= floor)
    assume(mass > 0.0)
    verdict = verdict_from_logprobs(PRINCIPLE, {"Yes": yes, "No": no}, LABELS, floor)
    assert verdict.probability == pytest.approx(math.exp(yes) / mass)
    assert verdict.label_mass == pytest.approx(min(1.0, mass))
    assert verdict.passed is (verdict.probability is not None and verdict.probability >= 0.5)
