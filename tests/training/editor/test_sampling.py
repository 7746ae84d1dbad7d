"""Rollouts: an edit depends on its own seed alone, and what its steps drew is what they say they drew."""

from __future__ import annotations

import torch
from PIL import Image

from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import log_density, mean_of, trajectory
from tests.training.editor.toy_policy import ToyPolicy

SOURCE = Image.new("RGB", (10, 6), "red")


def test_an_edit_depends_on_its_seed_and_not_on_its_batch() -> None:
    policy = ToyPolicy()
    condition = policy.encode([SOURCE] * 4, ["make it blue"] * 4)
    steps = trajectory(policy.times(5, condition), "sde", 0.7)
    together = roll_out(policy, condition, steps, [1, 2, 3, 4])
    alone = roll_out(policy, condition.take([2]), steps, [3])
    assert torch.allclose(together.drawn[3].after[2], alone.drawn[3].after[0], atol=1e-6)
    assert together.pictures[2].tobytes() == alone.pictures[0].tobytes()
    assert together.pictures[0].size == (10, 6)
    colours = {picture.getpixel((0, 0)) for picture in together.pictures}
    assert len(colours) == 4


def test_steps_follow_each_other_and_have_the_means_that_they_say() -> None:
    policy = ToyPolicy()
    condition = policy.encode([SOURCE] * 3, ["make it blue"] * 3)
    steps = trajectory(policy.times(6, condition), "cps", 0.8, stochastic=[1, 2, 4])
    found = roll_out(policy, condition, steps, [7, 8, 9])
    assert sorted(found.drawn) == [1, 2, 4]
    assert torch.equal(found.drawn[1].after, found.drawn[2].before)
    for number, drawn in found.drawn.items():
        again = mean_of(steps[number], drawn.before, policy.velocity(drawn.before, steps[number].start, condition))
        assert torch.equal(again, drawn.mean)
        change = log_density(drawn.after, again, steps[number]) - log_density(drawn.after, drawn.mean, steps[number])
        assert (change.exp() == 1.0).all()
        # Standard noise, as far as nine numbers can tell.
        noise = (drawn.after - drawn.mean) / steps[number].std
        assert 0.2 < noise.std().item() < 2.5


def test_edits_that_begin_alike_differ_by_what_is_drawn_on_the_way_alone() -> None:
    policy = ToyPolicy()
    condition = policy.encode([SOURCE] * 4, ["make it blue"] * 4)
    seeds, steps = [7, 8, 9, 10], trajectory(policy.times(4, condition), "cps", 0.8)
    own, alike = roll_out(policy, condition, steps, seeds), roll_out(policy, condition, steps, seeds, [7] * 4)
    assert all(torch.equal(alike.drawn[0].before[0], before) for before in alike.drawn[0].before)
    assert len({after.numpy().tobytes() for after in alike.drawn[0].after}) == 4
    assert torch.equal(alike.drawn[0].after[0], own.drawn[0].after[0])
    quiet = trajectory(policy.times(4, condition), "ode", 0.0)
    assert len({picture.tobytes() for picture in roll_out(policy, condition, quiet, seeds, [7] * 4).pictures}) == 1


def test_seeds_of_different_parts_are_unrelated() -> None:
    seeds = {seed_of(run, step, sample) for run in range(4) for step in range(8) for sample in range(8)}
    assert len(seeds) == 256
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)
