"""Leaving out rollouts without an advantage changes what a step costs, and not what it does."""

from __future__ import annotations

from typing import Any

import torch

from edit_rrm_training.judge.live_rollouts import live_rollouts

PATCHES = 4


def batch(advantages: list[float], lengths: list[int]) -> dict[str, Any]:
    """A batch whose every entry says which rollout it belongs to; each has two images of `PATCHES` patches."""
    count = len(advantages)
    number = torch.arange(count)
    return {
        "advantages": torch.tensor(advantages),
        "prompt_ids": number[:, None].repeat(1, 3),
        "completion_mask": torch.tensor([[1] * length + [0] * (8 - length) for length in lengths]),
        "num_items_in_batch": torch.tensor(sum(lengths)),
        "num_images": [2] * count,
        "image_grid_thw": torch.tensor([[1, 2, 2]]).repeat(2 * count, 1),
        "pixel_values": number.repeat_interleave(2 * PATCHES)[:, None].float(),
        "old_per_token_logps": None,
    }


def test_rollouts_without_an_advantage_are_left_out_with_their_images() -> None:
    live = live_rollouts(batch([0.25, 0.0, -0.25, 0.0], [2, 8, 6, 8]))
    assert live.inputs["prompt_ids"][:, 0].tolist() == [0, 2]
    assert live.inputs["num_images"] == [2, 2]
    assert live.inputs["image_grid_thw"].shape == (4, 3)
    assert live.inputs["pixel_values"].flatten().tolist() == [0.0] * 8 + [2.0] * 8
    assert live.inputs["num_items_in_batch"] == 24
    assert live.inputs["old_per_token_logps"] is None


def test_a_mean_over_the_rest_times_its_share_is_the_mean_over_all() -> None:
    advantages, lengths = [0.5, 0.0, -0.5, 0.0, 0.125], [2, 8, 6, 1, 3]
    live = live_rollouts(batch(advantages, lengths))
    by_row = torch.tensor(advantages).mean()
    assert torch.isclose(live.inputs["advantages"].mean() * live.rows, by_row)
    by_token = (torch.tensor(advantages) * torch.tensor(lengths)).sum() / sum(lengths)
    mask = live.inputs["completion_mask"].sum(1)
    assert torch.isclose((live.inputs["advantages"] * mask).sum() / mask.sum() * live.tokens, by_token)


def test_what_rounding_left_is_no_advantage() -> None:
    mean = torch.tensor([1 / 3] * 3).mean()
    rounding = float(torch.tensor(1 / 3) - mean)
    live = live_rollouts(batch([rounding, 3e-8, 0.5], [1, 1, 1]))
    assert live.inputs["advantages"].tolist() == [0.5]


def test_one_rollout_stays_where_none_has_an_advantage() -> None:
    live = live_rollouts(batch([0.0, 0.0], [3, 5]))
    assert live.inputs["prompt_ids"][:, 0].tolist() == [0]
    assert live.rows == 0.5
    assert live.inputs["advantages"].tolist() == [0.0]


def test_a_batch_in_which_all_count_is_taken_as_it_is() -> None:
    inputs = batch([0.5, -0.5], [3, 5])
    live = live_rollouts(inputs)
    assert live.inputs is inputs
    assert (live.rows, live.tokens) == (1.0, 1.0)
