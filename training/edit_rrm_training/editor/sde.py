"""Flow-matching samplers whose steps have exact densities. Pure; all arithmetic in fp32.

Time runs from 1 (noise) to 0 (picture): x_t = (1 - t) x_0 + t e, and a model's velocity is v = e - x_0. A sampler's
step from t to t' draws from a normal distribution whose mean is a function of x_t and v, and whose deviation is a
number:

- ``ode``: Euler's step, nothing random.
- ``sde``: Flow-GRPO's (arXiv 2505.05470, eq. 9), with sigma_t = a sqrt(t / (1 - t)), whose marginals are the ODE's as
  steps get small. At t = 1, where sigma_t is infinite, the next time stands in for t in the denominator.
- ``cps``: coefficients-preserving sampling (arXiv 2509.05952), with deviation t' sin(a pi / 2). Of a picture and a
  noise that the model predicts rightly, x_t' has the shares 1 - t' and t' whatever the size of the steps, so that
  pictures come out clean of few steps, where the SDE leaves noise in them. It is made for few: its marginals are not
  the ODE's as steps get small, but narrower.

- ``match``: no step of a trajectory, but a point on a straight path to a finished picture (`matching.py`), of whose
  true velocity the policy's is the mean.

A window of stochastic steps in an otherwise deterministic trajectory is Flow-GRPO-Fast.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

SamplerName = Literal["ode", "sde", "cps", "match"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trajectory, the same for all of a batch."""

    start: float
    """Time, 1 to 0, before the step."""
    end: float
    """Time after it, less than `start`."""
    sampler: SamplerName
    sigma: float = 0.0
    """``sde``: sigma_t. ``cps``: share of the end's noise that is new, 0 to 1. ``match``: the density's. ``ode``: 0."""

    @property
    def std(self) -> float:
        """Deviation of what the step draws."""
        if self.sampler == "sde":
            return self.sigma * math.sqrt(self.start - self.end)
        if self.sampler == "match":
            return self.sigma
        return self.sigma * self.end

    @property
    def stochastic(self) -> bool:
        """Whether the step draws anything, so that it has a density and can be learnt from."""
        return self.std > 0.0


def trajectory(
    times: Sequence[float], sampler: SamplerName, noise_level: float, stochastic: Collection[int] | None = None
) -> tuple[Step, ...]:
    """The steps from noise to a picture.

    Args:
        times: Falling from 1 to 0, one more than there are steps.
        sampler: Of the stochastic steps.
        noise_level: The papers' a (Flow-GRPO) or eta (CPS, 0 to 1).
        stochastic: Numbers of the steps that draw; all where left out. The others are Euler's.

    Raises:
        ValueError: The times do not fall from 1 to 0, there is no such step, or no such level.
    """
    if sampler == "match":
        raise ValueError("match is no sampler of trajectories: see matching.py")
    count = len(times) - 1
    if count < 1 or times[0] != 1.0 or times[-1] != 0.0 or any(a <= b for a, b in pairwise(times)):
        raise ValueError(f"times fall from 1 to 0, not {list(times)}")
    chosen = range(count) if stochastic is None else stochastic
    if any(not 0 <= number < count for number in chosen):
        raise ValueError(f"stochastic steps {sorted(chosen)} of a trajectory of {count}")
    if noise_level < 0.0 or (sampler == "cps" and noise_level > 1.0):
        raise ValueError(f"a noise level of {noise_level} is none: 0 or more, and at most 1 for cps")
    steps = []
    for number, (start, end) in enumerate(pairwise(times)):
        if sampler == "ode" or number not in chosen or noise_level == 0.0:
            steps.append(Step(start, end, "ode"))
        elif sampler == "sde":
            below = min(start, times[1]) if count > 1 else 0.5
            steps.append(Step(start, end, "sde", noise_level * math.sqrt(start / (1.0 - below))))
        else:
            steps.append(Step(start, end, "cps", math.sin(noise_level * math.pi / 2.0)))
    return tuple(steps)


def mean_of(step: Step, sample: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
    """Mean of what a step draws.

    Args:
        step: The step.
        sample: x_t, shape (B, ...).
        velocity: The model's, same shape.

    Returns:
        Same shape, fp32.
    """
    x, v = sample.float(), velocity.float()
    if step.sampler == "match":
        return v
    t, dt = step.start, step.end - step.start
    if step.sampler == "cps":
        picture, noise = x - t * v, x + (1.0 - t) * v
        return (1.0 - step.end) * picture + step.end * math.sqrt(1.0 - step.sigma**2) * noise
    drift = step.sigma**2 / (2.0 * t)
    return x * (1.0 + drift * dt) + v * (1.0 + drift * (1.0 - t)) * dt


def draw(mean: torch.Tensor, step: Step, noise: torch.Tensor) -> torch.Tensor:
    """A sample of a step: its mean plus its deviation times standard noise of the same shape."""
    return mean + step.std * noise


def log_density(drawn: torch.Tensor, mean: torch.Tensor, step: Step) -> torch.Tensor:
    """Logarithm of a step's density, averaged over a sample's dimensions as Flow-GRPO does.

    Args:
        drawn: What the step drew, shape (B, ...).
        mean: Its mean under the policy to ask about, same shape.
        step: A stochastic step.

    Returns:
        Shape (B,), fp32.

    Raises:
        ValueError: The step draws nothing.
    """
    if not step.stochastic:
        raise ValueError(f"{step} draws nothing, so that it has no density")
    scaled = (drawn.float() - mean.float()) / step.std
    return (-0.5 * scaled.square() - math.log(step.std) - 0.5 * math.log(2.0 * math.pi)).flatten(1).mean(1)


def kl_divergence(mean: torch.Tensor, reference: torch.Tensor, step: Step) -> torch.Tensor:
    """KL of a step under one policy from that under another, averaged over a sample's dimensions; shape (B,), fp32.

    Raises:
        ValueError: The step draws nothing.
    """
    if not step.stochastic:
        raise ValueError(f"{step} draws nothing, so that it has no divergence")
    return ((mean.float() - reference.float()) / step.std).square().flatten(1).mean(1) / 2.0
