"""Rows into groups: what is dropped and why, and that an edit is asked about once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.pairs.grouping import assemble
from edit_rrm_training.judge.pairs.pair import Pair, Ranking, Reason, Rejected
from tests.training.pairs.pictures import assembled, pair


def reasons(*rows: Pair | Rejected) -> list[Reason]:
    return [row.reason for row in assembled(*rows).rejected]


def test_one_source_and_instruction_is_one_group() -> None:
    found = assembled(
        pair("blue", "green"),
        pair("blue", "black"),
        pair("blue", "green", instruction="else"),
        pair("blue", "green", source="white"),
    )
    assert [len(group.edits) for group in found.groups] == [3, 2, 2]
    assert len({group.key for group in found.groups}) == 3
    first = found.groups[0]
    named = [(first.edits[each.better].digest, first.edits[each.worse].digest) for each in first.comparisons]
    assert named == [("blue", "green"), ("blue", "black")]


def test_a_request_does_not_tell_which_edit_won() -> None:
    there, back = assembled(pair("blue", "green")), assembled(pair("green", "blue"))
    assert [edit.digest for edit in there.groups[0].edits] == [edit.digest for edit in back.groups[0].edits]
    assert there.fingerprint != back.fingerprint


def test_a_pair_of_one_picture_is_dropped() -> None:
    assert reasons(pair("blue", "blue"), pair("blue", "green")) == [Reason.IDENTICAL_IMAGES]


def test_rows_that_say_the_same_count_once() -> None:
    found = assembled(pair("blue", "green"), pair("blue", "green"), pair("black", "green"))
    assert [row.reason for row in found.rejected] == [Reason.DUPLICATE]
    assert sum(len(group.comparisons) for group in found.groups) == 2


def test_rows_that_contradict_each_other_are_all_dropped() -> None:
    found = assembled(pair("blue", "green"), pair("blue", "green"), pair("green", "blue"))
    assert [row.reason for row in found.rejected] == [Reason.CONTRADICTORY] * 3
    assert "blue over green" in found.rejected[0].detail
    assert "green over blue" in found.rejected[0].detail
    assert found.groups == ()


def test_a_tie_contradicts_a_preference_and_agrees_with_a_tie() -> None:
    assert reasons(pair("blue", "green", tied=True), pair("blue", "green")) == [Reason.CONTRADICTORY] * 2
    assert reasons(pair("blue", "green", tied=True), pair("green", "blue", tied=True)) == [Reason.DUPLICATE]


def test_other_dimensions_rankings_and_instructions_may_disagree() -> None:
    one, two = Ranking("one", 2), Ranking("two", 3)
    for pairs in (
        (pair("blue", "green", dimension="overall"), pair("green", "blue", dimension="consistency")),
        (pair("blue", "green", ranking=one), pair("blue", "green", ranking=two)),
        (pair("blue", "green"), pair("green", "blue", instruction="else")),
    ):
        assert reasons(*pairs) == []


def test_rows_that_were_no_pairs_are_passed_on() -> None:
    bad = Rejected("row 7", Reason.MISSING_IMAGE, "no image")
    found = assembled(bad, pair("blue", "green"))
    assert (found.rows, found.rejected) == (2, (bad,))


colours = st.sampled_from(["blue", "green", "black", "white"])
rows = st.lists(
    st.builds(pair, colours, colours, source=st.sampled_from(["red", "grey"]), tied=st.booleans()), max_size=25
)


@given(rows)
def test_every_row_is_used_or_dropped_for_one_reason(given_rows: list[Pair]) -> None:
    found = assemble(given_rows)
    used = [comparison for group in found.groups for comparison in group.comparisons]
    assert len(used) + len(found.rejected) == found.rows == len(given_rows)
    for group in found.groups:
        assert len({edit.digest for edit in group.edits}) == len(group.edits)
        assert all(comparison.better != comparison.worse for comparison in group.comparisons)
        seen = [frozenset((comparison.better, comparison.worse)) for comparison in group.comparisons]
        assert len(set(seen)) == len(seen), "no two edits are compared twice"


@given(rows)
def test_the_fingerprint_is_of_the_content(given_rows: list[Pair]) -> None:
    assert assemble(given_rows).fingerprint == assemble(given_rows).fingerprint
