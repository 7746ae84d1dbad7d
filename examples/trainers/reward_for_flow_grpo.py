"""Edit-RRM as flow_grpo's reward function.

In flow_grpo's `scripts/train_flux_kontext.py` or `train_qwenimage_edit_plus.py`, in place of `multi_score`:

    from edit_rrm_client.adapters.flow_grpo import FlowGrpoReward
    reward_fn = FlowGrpoReward(RewardClient("http://judge:8000", expect_identity="first"))

DiffusionNFT and Edit-R1 ask the same way, with the source in the metadata. Run this file against `make serve`: it asks
as these scripts do, with tensors from a pool of threads.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from edit_rrm_client import RewardClient
from edit_rrm_client.adapters.flow_grpo import FlowGrpoReward

NAMES = ("good", "collateral", "untouched")


def main() -> None:
    """Score one batch of decoded edits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    decoded = torch.stack([picture(name) for name in NAMES])
    prompts = ["make the red star blue"] * len(NAMES)
    metadata = [{"source": picture("source")}] * len(NAMES)
    with RewardClient(parser.parse_args().url) as client, ThreadPoolExecutor(8) as executor:
        reward_fn = FlowGrpoReward(client)
        rewards, info = executor.submit(reward_fn, decoded, prompts, metadata, only_strict=True).result()
    for name, reward, measured in zip(NAMES, rewards["avg"], info["mask"], strict=True):
        print(f"{name}: {reward:.2f}" if measured else f"{name}: not measured, has its group's mean {reward:.2f}")


def picture(name: str) -> torch.Tensor:
    """An example as a VAE would decode it: (3, H, W), 0 to 1."""
    with files("edit_rrm_client").joinpath("examples", f"{name}.png").open("rb") as file, Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255.0


if __name__ == "__main__":
    main()
