"""A moving average of what is trained, which is evaluated and kept in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edit_rrm_training.editor.trained import Trained, local


class MovingAverage:
    """An exponential one that forgets its beginning, with the decays of diffusers' `EMAModel`.

    Each process averages what it has. Until its first step it is the weights themselves.
    """

    def __init__(self, trained: Trained, decay: float) -> None:
        """Average with a decay, from 0 (the newest weights) to 1 (the oldest)."""
        self._trained = trained
        self._decay = decay
        self.values = [value.clone() for value in trained.precise()]
        self.steps = 0
        """That were taken in."""

    @torch.no_grad()
    def step(self) -> None:
        """Take the weights in."""
        decay = warmed_decay(self.steps, self._decay)
        self.steps += 1
        for average, value in zip(self.values, self._trained.precise(), strict=True):
            average.sub_((1.0 - decay) * (average - value))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the average in the weights' place, for as long as a context lasts."""
        if self.steps == 0:
            yield
            return
        weights = [value.cpu().clone() for value in self._trained.here()]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(weights)

    def whole(self, *, keep: bool) -> dict[str, torch.Tensor]:
        """The average's whole tensors on the CPU by name, where a process wants them. All have to take part."""
        return self._trained.whole(self.values if self.steps else self._trained.precise(), keep=keep)

    @torch.no_grad()
    def take(self, place: int, full: torch.Tensor) -> None:
        """Set the average of the parameter at a place to a whole value."""
        self.values[place].copy_(local(self._trained.part(place, full)))

    @torch.no_grad()
    def _put(self, values: list[torch.Tensor]) -> None:
        for weight, value in zip(self._trained.here(), values, strict=True):
            weight.copy_(value)


def warmed_decay(taken: int, decay: float) -> float:
    """The decay after so many weights were taken in, 0 to `decay`: at first nothing of where training began is kept."""
    return min((1 + taken) / (10 + taken), decay) if taken else 0.0
