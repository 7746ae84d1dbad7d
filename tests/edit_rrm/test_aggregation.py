"""Verdicts become one score the way its name says."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edit_rrm.aggregation import DEFAULT_WEIGHTS, aggregate, average, belief, category_means, reward_of
from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, Verdict

FORMULAS = [how for how in Aggregation if how is not Aggregation.MODEL]


def verdict(category: Category, passed: bool, probability: float | None = None) -> Verdict:
    return Verdict(principle=Principle(question="?", category=category), passed=passed, probability=probability)


verdicts = st.lists(
    st.builds(
        verdict,
        st.sampled_from(list(Category)),
        st.booleans(),
        st.none() | st.floats(0.0, 1.0),
    ),
    min_size=1,
    max_size=12,
)


@given(verdicts, st.sampled_from(FORMULAS))
def test_scores_lie_between_0_and_10(given_verdicts: list[Verdict], how: Aggregation) -> None:
    assert 0.0 <= aggregate(given_verdicts, how) <= 10.0


@given(verdicts, st.sampled_from(FORMULAS), st.randoms())
def test_the_order_of_principles_does_not_matter(
    given_verdicts: list[Verdict], how: Aggregation, random: object
) -> None:
    shuffled = list(given_verdicts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types st.randoms() loosely
    assert math.isclose(aggregate(shuffled, how), aggregate(given_verdicts, how), abs_tol=1e-9)


@given(verdicts, st.sampled_from(FORMULAS), st.data())
def test_a_better_verdict_never_lowers_the_score(
    given_verdicts: list[Verdict], how: Aggregation, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(given_verdicts) - 1))
    old = given_verdicts[index]
    assume(belief(old) < 1.0)
    better = [*given_verdicts]
    better[index] = verdict(old.principle.category, True)
    assert aggregate(better, how) >= aggregate(given_verdicts, how) - 1e-9


FOLLOWED_BUT_BLURRED = [
    verdict(Category.INSTRUCTION_FOLLOWING, True),
    verdict(Category.INSTRUCTION_FOLLOWING, True),
    verdict(Category.FEATURE_PRESERVATION, True),
    verdict(Category.IMAGE_QUALITY, False),
]


@pytest.mark.parametrize(
    ("how", "score"),
    [
        (Aggregation.MEAN, 7.5),
        (Aggregation.WEIGHTED, 8.5),
        (Aggregation.GEOMETRIC, 0.0),
        (Aggregation.MIN, 0.0),
        (Aggregation.PRODUCT, 0.0),
    ],
)
def test_each_formula_on_an_example(how: Aggregation, score: float) -> None:
    assert aggregate(FOLLOWED_BUT_BLURRED, how) == pytest.approx(score)


def test_the_product_is_the_chance_that_every_principle_holds() -> None:
    unsure = [verdict(Category.INSTRUCTION_FOLLOWING, True, chance) for chance in (0.9, 0.5)]
    assert aggregate([*unsure, verdict(Category.IMAGE_QUALITY, True)], Aggregation.PRODUCT) == pytest.approx(4.5)


def test_the_judges_own_score_is_passed_on_untouched() -> None:
    assert aggregate(FOLLOWED_BUT_BLURRED, Aggregation.MODEL, model_score=3.5) == 3.5


def test_a_missing_score_of_the_judges_own_is_an_error_and_not_a_number() -> None:
    with pytest.raises(ValueError, match="use another one for mode 'probe'"):
        aggregate(FOLLOWED_BUT_BLURRED, Aggregation.MODEL)


@pytest.mark.parametrize("how", list(Aggregation))
def test_nothing_is_made_of_no_verdicts(how: Aggregation) -> None:
    with pytest.raises(ValueError, match="nothing to aggregate"):
        aggregate([], how, model_score=5.0)
    with pytest.raises(ValueError, match="nothing to aggregate"):
        average([])


def test_an_absent_category_gives_its_weight_to_the_others() -> None:
    only = [verdict(Category.INSTRUCTION_FOLLOWING, True), verdict(Category.IMAGE_QUALITY, False)]
    follow, quality = DEFAULT_WEIGHTS[Category.INSTRUCTION_FOLLOWING], DEFAULT_WEIGHTS[Category.IMAGE_QUALITY]
    assert aggregate(only, Aggregation.WEIGHTED) == pytest.approx(10 * follow / (follow + quality))


def test_weights_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="more than zero"):
        aggregate(FOLLOWED_BUT_BLURRED, Aggregation.WEIGHTED, weights={})


def test_a_probability_counts_for_more_than_the_hard_verdict() -> None:
    unsure = [verdict(Category.IMAGE_QUALITY, True, 0.6)]
    assert aggregate(unsure, Aggregation.MEAN) == pytest.approx(6.0)
    assert average(unsure) == 1.0
    assert category_means(unsure) == {Category.IMAGE_QUALITY: 0.6}


@given(st.integers(0, 100))
def test_a_score_of_tenths_is_a_reward_of_hundredths_as_one_would_write_it(tenths: int) -> None:
    assert repr(reward_of(tenths / 10)) == repr(float(f"0.{tenths:02d}") if tenths < 100 else 1.0)


@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_rewards_are_in_the_order_of_their_scores(one: float, other: float) -> None:
    assert 0.0 <= reward_of(one) <= 1.0
    assert one > other or reward_of(one) <= reward_of(other)
