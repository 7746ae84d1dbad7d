"""Called as flow_grpo's trainers call their rewards: tensors of its VAE, sources from references or metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edit_rrm_client import InvalidImageError, UnscoredError
from edit_rrm_client.adapters.flow_grpo import FlowGrpoReward, FlowGrpoScore, neutralised, source_of
from tests.client.adapters.scorer import RednessScorer

SOURCE = Image.new("RGB", (16, 16), "white")
PROMPTS = ["make it red"] * 3 + ["make it redder"] * 3
NO_METADATA: list[dict[str, Any]] = [{} for _ in PROMPTS]


def decoded(tenths: list[int]) -> torch.Tensor:
    """What a VAE decodes, in (N, 3, H, W), a little beyond 0 and 1."""
    images = torch.zeros(len(tenths), 3, 16, 16)
    for image, tenth in zip(images, tenths, strict=True):
        image[0] = 1.02 if tenth == 10 else tenth / 10
        image[1] = -0.01
    return images


def test_it_stands_in_for_multi_score() -> None:
    client = RednessScorer()
    reward_fn = FlowGrpoReward(client)
    # As its scripts submit it: from a pool, the references as they come from the data set.
    with ThreadPoolExecutor(2) as executor:
        submitted = executor.submit(
            reward_fn, decoded([10, 5, 0, 2, 4, 6]), PROMPTS, NO_METADATA, [SOURCE] * 6, only_strict=True
        )
    rewards, info = submitted.result()
    for name, value in rewards.items():
        assert torch.as_tensor(value).float().shape == (6,), name
    # The one that was not measured has the mean of its own group, and the info says which one it was.
    assert rewards["avg"].tolist() == pytest.approx([1.0, 0.5, 0.75, 0.2, 0.4, 0.6])
    assert info["mask"].tolist() == [True, True, False, True, True, True]
    assert info["outcomes"][2] == "timed_out"
    assert info["results"][0].score == 10.0
    assert [len(group.edited) for group in client.asked] == [3, 3]


@pytest.mark.parametrize("images", [decoded([10, 5, 1, 2, 4, 6]), decoded([10, 5, 1, 2, 4, 6]).bfloat16()])
def test_as_one_reward_of_several_it_finds_sources_in_the_metadata(images: torch.Tensor) -> None:
    score = FlowGrpoScore(RednessScorer())
    scores, _ = score(images, PROMPTS, [{"source": SOURCE}] * 6)
    assert [0.5 * value for value in scores] == pytest.approx([0.5, 0.25, 0.05, 0.1, 0.2, 0.3], abs=0.003)


def test_arrays_in_eight_bits_as_dance_grpo_has_them() -> None:
    images = (decoded([10, 5]).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    scores, _ = FlowGrpoScore(RednessScorer())(images, PROMPTS[:2], [{"image": SOURCE}] * 2)
    assert scores.tolist() == pytest.approx([1.0, 0.5])
    floats, _ = FlowGrpoScore(RednessScorer())(images / np.float32(250.0), PROMPTS[:2], [{"image": SOURCE}] * 2)
    assert floats.tolist() == pytest.approx([1.0, 0.51], abs=0.01)


def test_no_source_and_no_score_are_said() -> None:
    with pytest.raises(KeyError, match="put it under 'source'"):
        source_of({"tag": "x"})
    with pytest.raises(UnscoredError):
        FlowGrpoReward(RednessScorer())(decoded([0, 0]), PROMPTS[:2], NO_METADATA[:2], [SOURCE] * 2)


def test_floats_of_another_range_are_refused_and_not_clamped_into_a_picture() -> None:
    for wrong in (decoded([10, 5]) * 2.0 - 1.0, decoded([10, 5]).clamp(0, 1) * 255.0):
        with pytest.raises(InvalidImageError, match="scale them to 0 to 1"):
            FlowGrpoReward(RednessScorer())(wrong, PROMPTS[:2], NO_METADATA[:2], [SOURCE] * 2)


def test_a_group_that_is_spread_over_devices_is_made_neutral_where_it_is_whole() -> None:
    """As flow_grpo does: each device has a part of every group, and its part's mean is not the group's."""
    rng = np.random.default_rng(0)
    tenths = rng.integers(1, 11, 48)
    tenths[::7] = 0
    prompts = [f"make it red {number % 2}" for number in range(48)]
    parts = [slice(start, None, 4) for start in range(4)]
    rewards, measured = np.zeros(48, np.float32), np.zeros(48, np.float32)
    for part in parts:
        count = len(prompts[part])
        found, _ = FlowGrpoReward(RednessScorer())(
            decoded(tenths[part].tolist()), prompts[part], [{}] * count, [SOURCE] * count
        )
        rewards[part], measured[part] = found["avg"], found["edit_rrm_measured"]
    whole = neutralised(rewards, measured, prompts)
    assert (measured == (tenths > 0)).all()
    for prompt in set(prompts):
        members = np.array([one == prompt for one in prompts])
        unmeasured = members & (tenths == 0)
        mean = rewards[members & (tenths > 0)].mean()
        assert whole[unmeasured] == pytest.approx(mean, abs=1e-6)
        assert np.abs(rewards[unmeasured] - mean).max() > 0.02, "a part's mean is another"
    # A reward for each time step, as flow_grpo has them after it has repeated them.
    stepped = neutralised(np.repeat(rewards[:, None], 3, 1), measured, prompts)
    assert np.allclose(stepped, whole[:, None])
    with pytest.raises(ValueError, match="nothing was measured"):
        neutralised([0.5], [0.0], ["x"])
    with pytest.raises(ValueError, match="1 rewards, 2 flags"):
        neutralised([0.5], [1.0, 1.0], ["x"])
