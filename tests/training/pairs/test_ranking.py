"""K-way rankings: all of their relations, or nothing."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.pairs.comparison import Judged
from edit_rrm_training.judge.pairs.pair import Ranking
from edit_rrm_training.judge.pairs.ranking import rankings
from tests.training.pairs.pictures import judged


def ranked(scores: list[float | None]) -> list[Judged]:
    """Relations of edits that people rank in the order given."""
    return [judged(better, worse) for better, worse in combinations(scores, 2)]


@pytest.mark.parametrize(
    ("scores", "standing"),
    [
        ([9.0, 5.0, 2.0], "right"),
        ([9.0, 2.0, 5.0], "wrong"),
        ([9.0, 5.0, 5.0], "wrong"),
        ([9.0, None, 2.0], "unscored"),
        ([9.0, 7.0, 5.0, 2.0], "right"),
        ([7.0, 9.0, 5.0, 2.0], "wrong"),
    ],
)
def test_one_wrong_relation_is_a_wrong_ranking(scores: list[float | None], standing: str) -> None:
    size = len(scores)
    found = rankings({Ranking("one", size): ranked(scores)})
    assert set(found) == {str(size), "all"}
    assert {name: found["all"][name] for name in ("right", "wrong", "unscored", "incomplete")} == {
        **dict.fromkeys(("right", "wrong", "unscored", "incomplete"), 0),
        standing: 1,
    }
    assert found["all"]["accuracy"]["total"] == (0 if standing == "unscored" else 1)


def test_a_ranking_that_lost_a_row_is_not_counted() -> None:
    found = rankings({Ranking("one", 3): ranked([9.0, 5.0, 2.0])[:2]})["3"]
    assert (found["rankings"], found["incomplete"], found["accuracy"]["value"]) == (1, 1, None)


def test_a_tie_of_peoples_wants_equal_scores() -> None:
    def right(better: float, worse: float) -> int:
        count: int = rankings({Ranking("one", 2): [judged(better, worse, tied=True)]})["2"]["right"]
        return count

    assert (right(5.0, 5.0), right(5.0, 5.1)) == (1, 0)


def test_a_threshold_is_for_peoples_ties_alone() -> None:
    tied, ordered = [judged(5.0, 5.5, tied=True)], [judged(5.5, 5.0)]
    found = rankings({Ranking("tied", 2): tied, Ranking("ordered", 2): ordered}, threshold=0.5)
    assert found["2"]["right"] == 2


def test_every_k_apart_and_all_together() -> None:
    found = rankings(
        {
            Ranking("two", 2): ranked([5.0, 4.0]),
            Ranking("too", 2): ranked([4.0, 5.0]),
            Ranking("three", 3): ranked([9.0, 5.0, 2.0]),
            Ranking("four", 4): ranked([1.0, 2.0, 3.0, 4.0]),
        }
    )
    assert [(name, part["accuracy"]["value"]) for name, part in found.items()] == [
        ("2", 0.5),
        ("3", 1.0),
        ("4", 0.0),
        ("all", 0.5),
    ]


@given(st.permutations(range(4)))
def test_only_the_order_itself_is_right(order: list[int]) -> None:
    found = rankings({Ranking("one", 4): ranked([float(score) for score in order])})["4"]
    assert found["right"] == (order == [3, 2, 1, 0])
