"""Edit-RRM as the reward function of verl-omni.

In its configuration, for data sets that have the source in `extra_info["source_img"]`:

    reward.custom_reward_function.path=pkg://edit_rrm_client.adapters.verl
    +reward.custom_reward_function.reward_kwargs.url=http://judge:8000

For others, `edit_rrm_client.adapters.verl_manager` takes it from the prompt. Set `reward.num_workers=1` too: edits that
one worker asks for at the same time travel to the judge as a group. Run this file against `make serve`: it asks as
verl's reward loop does, for one edit at a time and many at once.
"""

from __future__ import annotations

import argparse
import asyncio
from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from edit_rrm_client import AsyncRewardClient, RewardClientError
from edit_rrm_client.adapters.verl import VerlReward, single_image

NAMES = ("good", "collateral", "untouched")


async def score(url: str) -> None:
    """Score the rollouts of one prompt."""
    async with AsyncRewardClient(url) as client:
        reward = VerlReward(client)
        source = files("edit_rrm_client").joinpath("examples", "source.png").read_bytes()
        calls = [reward("make the red star blue", source, single_image(rollout(name))) for name in NAMES]
        found = await asyncio.gather(*calls, return_exceptions=True)
        print(f"{len(NAMES)} edits, {client.stats().requests} request")
    for name, one in zip(NAMES, found, strict=True):
        if isinstance(one, RewardClientError):
            print(f"{name}: {one}")  # in verl this ends the step: no reward is made up
        elif isinstance(one, BaseException):
            raise one
        else:
            print(f"{name}: {one['score']:.2f}")


def rollout(name: str) -> torch.Tensor:
    """An example as verl-omni's rollouts answer: (3, H, W), uint8."""
    with files("edit_rrm_client").joinpath("examples", f"{name}.png").open("rb") as file, Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    asyncio.run(score(parser.parse_args().url))
