"""A policy of a few weights, whose pictures are one colour: it satisfies `EditPolicy`, and learns in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

from edit_rrm_training.editor.policies.base import Condition, Size, seeded_noise


class Head(nn.Linear):
    """A layer that can be sharded by itself, by its class, and leaves the one before to the whole network."""


class ToyPolicy:
    """Latents are (B, 1, 3): a colour. Its velocity leads to a colour that it has for each instruction's length."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self._network: nn.Module = nn.Sequential(nn.Linear(3 + 2, 32), nn.Tanh(), Head(32, 3))

    @property
    def trained(self) -> nn.Module:
        return self._network

    def use(self, module: nn.Module) -> None:
        self._network = module

    def bucket(self, source: Image.Image) -> Size:
        return source.height, source.width

    def encode(self, sources: Sequence[Image.Image], instructions: Sequence[str]) -> Condition:
        lengths = torch.tensor([[len(text) / 10.0] for text in instructions])
        return Condition({"length": lengths}, (1, 1), tuple(self.bucket(source) for source in sources))

    def times(self, steps: int, condition: Condition) -> list[float]:
        return [1.0 - number / steps for number in range(steps + 1)]

    def noise(self, condition: Condition, seeds: Sequence[int]) -> torch.Tensor:
        return seeded_noise((1, 3), seeds)

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        known = torch.cat([condition.tensors["length"], torch.full((len(latents), 1), time)], dim=1)
        # What it predicts is the picture; the velocity follows from it.
        picture: torch.Tensor = self._network(torch.cat([latents[:, 0], known], dim=1))[:, None]
        return (latents - picture) / max(time, 1e-3)

    def decode(self, latents: torch.Tensor, condition: Condition) -> list[Image.Image]:
        values = ((latents[:, 0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).tolist()
        return [
            Image.new("RGB", (size[1], size[0]), tuple(value))
            for value, size in zip(values, condition.pictures, strict=True)
        ]
