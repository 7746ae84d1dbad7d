"""Preferences of the shapes world: deterministic, noisy where people are, and not the plain average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edit_rrm_training.shapes.edits import apply, held_out
from edit_rrm_training.shapes.faults import Edited
from edit_rrm_training.shapes.preferences import SAME, Preference, damage, preference, utility
from edit_rrm_training.shapes.sample import make
from edit_rrm_training.shapes.vocabulary import RADII

MANY = 300


@pytest.fixture(scope="module")
def pairs() -> list[Preference]:
    return [preference("validation", index) for index in range(MANY)]


def test_pairs_are_a_function_of_split_and_index() -> None:
    assert preference("train", 7) == preference("train", 7)
    assert preference("train", 7) != preference("validation", 7)


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="held-out-combinations"):
        preference("test", 0)


def test_outside_of_training_the_utility_decides_and_the_images_differ(pairs: list[Preference]) -> None:
    for pair in pairs:
        assert pair.gap >= SAME
        assert pair.gap == pytest.approx(
            utility(pair.source, pair.edit, pair.better) - utility(pair.source, pair.edit, pair.worse)
        )
        assert not np.array_equal(pair.better_pixels(), pair.worse_pixels())


def test_annotators_of_the_training_pairs_err_now_and_then() -> None:
    wrong = sum(preference("train", index).gap < 0 for index in range(MANY))
    assert 0.02 * MANY < wrong < 0.2 * MANY


def test_the_utility_disagrees_with_the_oracles_score_and_with_the_average(pairs: list[Preference]) -> None:
    """So there is something to learn from preferences; and not so much that verdicts would be worthless."""
    by_score = sum(better.score > worse.score for better, worse in (pair.truths for pair in pairs))
    by_average = sum(
        sum(found.passed for found in better.findings) > sum(found.passed for found in worse.findings)
        for better, worse in (pair.truths for pair in pairs)
    )
    assert 0.75 * MANY < by_score < 0.9 * MANY
    assert by_average < by_score


def test_damage_to_a_big_object_hurts_more() -> None:
    sample = next(
        sample
        for index in range(200)
        if (sample := make("validation", index)).edit.kind == "recolour"
        and {thing.size for thing in sample.source.things if thing.uid not in sample.edit.concerned} == set(RADII)
    )
    done = apply(sample.source, sample.edit)
    spared = [thing for thing in sample.source.things if thing.uid not in sample.edit.concerned]
    small, big = (next(thing for thing in spared if thing.size == size) for size in ("small", "big"))
    assert damage(sample.source, sample.edit, done) == 0.0
    assert damage(sample.source, sample.edit, done.without(big.uid)) > damage(
        sample.source, sample.edit, done.without(small.uid)
    )
    altered = done.with_thing(replace(big, colour="white" if big.colour != "white" else "black"))
    assert 0.0 < damage(sample.source, sample.edit, altered) < damage(sample.source, sample.edit, done.without(big.uid))


def test_the_perfect_edit_is_liked_best(pairs: list[Preference]) -> None:
    for pair in pairs:
        perfect = utility(pair.source, pair.edit, Edited(apply(pair.source, pair.edit), "none", ()))
        assert perfect == 10.0
        assert perfect >= utility(pair.source, pair.edit, pair.better)


def test_held_out_combinations_are_kept_out() -> None:
    for index in range(40):
        assert any(map(held_out, preference("held-out-combinations", index).edit.combinations))
        assert not any(map(held_out, preference("train", index).edit.combinations))
