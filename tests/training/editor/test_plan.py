"""A step's groups: every prompt once before any comes again, and the same step the same again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.editor.plan import plan_step, window_of
from edit_rrm_training.editor.recipe import SamplingRecipe
from edit_rrm_training.editor.sde import trajectory


@given(st.integers(0, 5), st.integers(1, 30), st.integers(1, 12))
def test_every_prompt_comes_once_in_a_pass(seed: int, prompts: int, groups: int) -> None:
    steps = -(-3 * prompts // groups)
    listed = [
        one.prompt
        for step in range(steps)
        for one in plan_step(seed, step, prompts=prompts, groups=groups, group_size=2)
    ]
    for epoch in range(3):
        assert sorted(listed[epoch * prompts : (epoch + 1) * prompts]) == list(range(prompts))


def test_a_long_list_is_shuffled_without_being_written_down() -> None:
    count = 200_003
    listed = [one.prompt for one in plan_step(0, 0, prompts=count, groups=2_000, group_size=2)]
    assert len(set(listed)) == 2_000
    assert all(0 <= prompt < count for prompt in listed)
    assert max(listed) - min(listed) > count * 0.9, "from all over"
    assert listed != sorted(listed)


def test_steps_are_the_same_again_and_seeds_are_nobody_elses() -> None:
    once, again = (plan_step(3, 7, prompts=50, groups=4, group_size=6) for _ in range(2))
    assert once == again
    seeds = [
        seed for step in range(6) for one in plan_step(3, step, prompts=2, groups=4, group_size=6) for seed in one.seeds
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_window_is_somewhere_else_every_step_and_always_inside(window: int) -> None:
    found = {tuple(window_of(0, step, steps=5, window=window)) for step in range(60)}
    assert all(len(one) == window and one[0] >= 0 and one[-1] < 5 for one in found)
    assert len(found) == 5 - window + 1
    assert window_of(0, 1, steps=5, window=None) == range(5)


def test_a_window_stays_among_the_first_steps_where_it_is_told_to() -> None:
    found = {tuple(window_of(0, step, steps=6, window=2, within=3)) for step in range(60)}
    assert found == {(0, 1), (1, 2)}
    assert window_of(0, 1, steps=6, window=None, within=3) == range(3)


def test_a_window_of_cps_is_not_at_the_end_which_draws_nothing() -> None:
    sampling = SamplingRecipe(sampler="cps", steps=4, window=1)
    times = [1.0 - number / 4 for number in range(5)]
    for step in range(60):
        window = window_of(0, step, steps=sampling.drawing, window=1, within=4)
        drawn = [one for one in trajectory(times, "cps", 0.7, window) if one.stochastic]
        assert len(drawn) == 1
    assert [one.stochastic for one in trajectory(times, "cps", 0.7)] == [True, True, True, False]
