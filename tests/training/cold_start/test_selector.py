"""The selector: most verdicts equal to gold, then higher average, then higher score, then lower index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.cold_start.selector import Candidate, agreement, first, select

SIZE = 4
verdicts = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(tuple)
# Few different scores, so that ties happen.
drawn = st.lists(st.tuples(verdicts, st.sampled_from([0.0, 5.0, 9.5])), max_size=6)


def listed(said: list[tuple[tuple[bool, ...], float]]) -> list[Candidate]:
    return [Candidate(index, passed, score) for index, (passed, score) in enumerate(said)]


@given(drawn, verdicts)
def test_nobody_is_better_than_who_is_selected(
    said: list[tuple[tuple[bool, ...], float]], gold: tuple[bool, ...]
) -> None:
    candidates = listed(said)
    kept = select(candidates, gold)
    if kept is None:
        assert not candidates
        return
    for other in candidates:
        ours, theirs = agreement(kept.passed, gold), agreement(other.passed, gold)
        assert ours >= theirs
        if ours == theirs:
            assert kept.average >= other.average
            if kept.average == other.average:
                assert kept.score >= other.score
                if kept.score == other.score:
                    assert kept.index <= other.index


@given(drawn, verdicts, st.randoms())
def test_the_order_of_candidates_does_not_matter(
    said: list[tuple[tuple[bool, ...], float]], gold: tuple[bool, ...], random: object
) -> None:
    candidates = listed(said)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert select(shuffled, gold) == select(candidates, gold)
    assert first(shuffled) == first(candidates)


@given(drawn, verdicts)
def test_a_candidate_that_equals_gold_is_beaten_by_none_that_does_not(
    said: list[tuple[tuple[bool, ...], float]], gold: tuple[bool, ...]
) -> None:
    kept = select([*listed(said), Candidate(len(said), gold, 0.0)], gold)
    assert kept is not None
    assert kept.passed == gold


@pytest.mark.parametrize(
    ("candidates", "kept"),
    [
        ([Candidate(0, (True, True), 9.0), Candidate(1, (False, True), 1.0)], 1),
        # Both miss one verdict: the one with more yes.
        ([Candidate(0, (False, False), 9.0), Candidate(1, (True, True), 1.0)], 1),
        ([Candidate(0, (False, True), 3.0), Candidate(1, (False, True), 3.5)], 1),
        ([Candidate(0, (False, True), 3.0), Candidate(1, (False, True), 3.0)], 0),
    ],
)
def test_ties_are_broken_in_the_methods_order(candidates: list[Candidate], kept: int) -> None:
    found = select(candidates, (False, True))
    assert found is not None
    assert found.index == kept


def test_without_gold_the_lowest_index_is_kept() -> None:
    found = first([Candidate(2, (True,), 9.0), Candidate(1, (False,), 0.0)])
    assert found is not None
    assert found.index == 1
    assert first([]) is None


def test_verdicts_of_another_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        select([Candidate(0, (True,), 1.0)], (True, False))
