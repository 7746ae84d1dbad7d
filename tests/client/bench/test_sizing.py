"""The sizing formula: what it counts, and that it finds the rates it was made from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.verdicts import Mode
from edit_rrm_client.bench.sizing import Rates, Shape, fitted, rewards_per_s

SHAPE = Shape(group_size=24, principles=5, image_tokens=81, text_tokens=100, question_tokens=24, block=32)


def test_a_prefix_is_computed_once_for_a_group() -> None:
    assert replace(SHAPE, block=0).computed_tokens == pytest.approx(181 / 24 + 81 + 5 * 24)
    assert replace(SHAPE, block=0, group_size=1).computed_tokens == pytest.approx(181 + 81 + 5 * 24)
    assert replace(SHAPE, block=0, mode=Mode.THINK).computed_tokens == pytest.approx(181 / 24 + 81 + 24)


@given(
    tokens=st.floats(1e2, 1e6),
    images=st.floats(1e-1, 1e4),
    sizes=st.lists(st.integers(1, 64), min_size=3, max_size=5, unique=True),
)
def test_rates_are_found_again(tokens: float, images: float, sizes: list[int]) -> None:
    rates = Rates(tokens, images)
    shapes = [replace(SHAPE, group_size=size, principles=1 + place * 4) for place, size in enumerate(sizes)]
    found = fitted({shape: rewards_per_s(shape, rates) for shape in shapes})
    assert found.prompt_tokens == pytest.approx(tokens, rel=1e-3)
    assert found.images == pytest.approx(images, rel=1e-3)


def test_answers_cost_where_they_are_written() -> None:
    rates = Rates(1e4, 1e2, answer_tokens=1e3)
    thinking = replace(SHAPE, mode=Mode.THINK, answer_tokens=200)
    assert 1 / rewards_per_s(thinking, rates) == pytest.approx(thinking.computed_tokens / 1e4 + (25 / 24) / 1e2 + 0.2)
    assert rewards_per_s(replace(SHAPE, answer_tokens=200), rates) == rewards_per_s(SHAPE, rates)


def test_shapes_that_tell_nothing_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="alike"):
        fitted({SHAPE: 3.0})
    with pytest.raises(ValueError, match="differ more"):
        fitted({SHAPE: 3.0, replace(SHAPE, principles=50): 4.0})
