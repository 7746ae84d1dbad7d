"""What is asked of an editing model: to encode what an edit starts from, to say a velocity, and to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from PIL import Image
from torch import nn

Size = tuple[int, int]
"""Height and width in pixels."""


class PromptTooLongError(ValueError):
    """An instruction that the text encoder would cut; the message has its length and the limit."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What B edits start from: encoded sources and instructions, all of one size."""

    tensors: Mapping[str, torch.Tensor]
    """By the policy's own names; the first dimension of each is B."""
    latent: Size
    """Height and width of the latents that the edits are drawn in, before they are packed."""
    pictures: tuple[Size, ...]
    """Of each source as it came, which its edit is given back in; length B."""

    def __len__(self) -> int:
        """B."""
        return len(self.pictures)

    def take(self, places: Sequence[int]) -> Self:
        """Those at some places, in that order; a place may come again."""
        chosen = torch.tensor(list(places), dtype=torch.long)
        tensors = {name: value[chosen.to(value.device)] for name, value in self.tensors.items()}
        return type(self)(tensors, self.latent, tuple(self.pictures[place] for place in places))

    def for_places(self, places: Sequence[int]) -> Self:
        """Those at some places of a group's edits, which all start from the same where this has one row."""
        return self.take([0] * len(places) if len(self) == 1 else places)

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        moved = {name: value.to(device) for name, value in self.tensors.items()}
        return type(self)(moved, self.latent, self.pictures)


class EditPolicy(Protocol):
    """An editing model that makes pictures by flow matching."""

    @property
    def trained(self) -> nn.Module:
        """What a trainer updates, and saves: the transformer, with its adapter."""

    def use(self, module: nn.Module) -> None:
        """Call a module in the place of what is trained: that, wrapped for several devices."""

    def bucket(self, source: Image.Image) -> Size:
        """Size that an edit of a source is drawn in; edits of one bucket may share a batch."""

    def encode(self, sources: Sequence[Image.Image], instructions: Sequence[str]) -> Condition:
        """Encode what edits start from, without a gradient.

        Args:
            sources: All of one bucket.
            instructions: As many.

        Raises:
            PromptTooLongError: An instruction would be cut.
            ValueError: The sources are of several buckets.
        """

    def times(self, steps: int, condition: Condition) -> list[float]:
        """Times of a trajectory, falling from 1 to 0, as the model's own scheduler has them; length `steps` + 1."""

    def noise(self, condition: Condition, seeds: Sequence[int]) -> torch.Tensor:
        """Latents at time 1, shape (B, tokens, channels), fp32; each of its own seed, whatever it is batched with."""

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        """The model's velocity, noise minus picture.

        Args:
            latents: At `time`, (B, tokens, channels).
            time: 1 to 0.
            condition: Of the B edits.

        Returns:
            Same shape, fp32.
        """

    def decode(self, latents: torch.Tensor, condition: Condition) -> list[Image.Image]:
        """Pictures of latents at time 0, in the sizes of their sources."""


def seeded_noise(shape: tuple[int, ...], seeds: Sequence[int]) -> torch.Tensor:
    """Standard noise of a shape for each seed, stacked; drawn on the CPU, so that devices agree."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
