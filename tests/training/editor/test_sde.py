"""Samplers against closed forms: a Gaussian world, whose velocity is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.editor.sde import SamplerName, Step, draw, kl_divergence, log_density, mean_of, trajectory

MEAN, DEVIATION = 1.5, 0.4


def times(count: int, shift: float = 1.0) -> list[float]:
    """Falling from 1 to 0, more densely near 1 for a larger shift, as schedulers have them."""
    even = [1.0 - number / count for number in range(count + 1)]
    return [shift * t / (1.0 + (shift - 1.0) * t) for t in even]


def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
    """E[e - x_0 | x_t] where x_0 is normal: what a perfect model says."""
    variance = (1.0 - t) ** 2 * DEVIATION**2 + t**2
    off = x - (1.0 - t) * MEAN
    picture = MEAN + (1.0 - t) * DEVIATION**2 / variance * off
    return t / variance * off - picture


def run(steps: tuple[Step, ...], count: int = 40_000, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, generator=generator)
    for step in steps:
        x = draw(mean_of(step, x, velocity(x, step.start)), step, torch.randn(x.shape, generator=generator))
    return x


@pytest.mark.parametrize(("sampler", "level"), [("ode", 0.0), ("sde", 0.3), ("sde", 0.9)])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_sde_ends_in_the_odes_distribution(sampler: SamplerName, level: float, shift: float) -> None:
    found = run(trajectory(times(400, shift), sampler, level))
    assert found.mean().item() == pytest.approx(MEAN, abs=0.01)
    # A first step from pure noise is never infinitely small.
    assert found.std().item() == pytest.approx(DEVIATION, abs=0.02)


def test_the_sdes_marginals_on_the_way_are_the_odes() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40_000, generator=generator)
    seen = 0
    for step in trajectory(times(400), "sde", 0.7):
        x = draw(mean_of(step, x, velocity(x, step.start)), step, torch.randn(x.shape, generator=generator))
        if step.end in (0.75, 0.5, 0.25):
            t, seen = step.end, seen + 1
            assert x.mean().item() == pytest.approx((1.0 - t) * MEAN, abs=0.02)
            assert x.std().item() == pytest.approx(math.hypot((1.0 - t) * DEVIATION, t), abs=0.02)
    assert seen == 3


@pytest.mark.parametrize("level", [0.3, 0.9])
def test_cps_keeps_the_shares_of_picture_and_noise_in_steps_of_any_size(level: float) -> None:
    """Of one picture, whose noise the model knows: x_t' is (1 - t') of it, and noise of deviation t', exactly."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40_000, generator=generator)
    for step in trajectory([1.0, 0.7, 0.55, 0.2, 0.0], "cps", level):
        noise = (x - (1.0 - step.start) * MEAN) / step.start
        x = draw(mean_of(step, x, noise - MEAN), step, torch.randn(x.shape, generator=generator))
        assert x.mean().item() == pytest.approx((1.0 - step.end) * MEAN, abs=0.02)
        assert x.std().item() == pytest.approx(step.end, abs=0.01)
    assert torch.allclose(x, torch.tensor(MEAN), atol=1e-5), (
        "and the picture is clean, where the SDE leaves noise in it"
    )
    y = torch.randn(40_000, generator=generator)
    for step in trajectory([1.0, 0.7, 0.55, 0.2, 0.0], "sde", level):
        y = draw(
            mean_of(step, y, (y - (1.0 - step.start) * MEAN) / step.start - MEAN),
            step,
            torch.randn(y.shape, generator=generator),
        )
    assert y.std().item() > 0.05


Values = st.floats(-3.0, 3.0)


@given(
    st.sampled_from(["sde", "cps"]),
    st.integers(0, 8),
    st.lists(st.tuples(Values, Values, Values), min_size=1, max_size=6),
)
def test_the_density_is_the_normal_distributions(
    sampler: SamplerName, number: int, points: list[tuple[float, float, float]]
) -> None:
    step = trajectory(times(10), sampler, 0.7)[number]
    assert step.stochastic
    x, v, drawn = (torch.tensor(values)[None] for values in zip(*points, strict=True))
    mean = mean_of(step, x, v)
    expected = torch.distributions.Normal(mean, step.std).log_prob(drawn).mean(1)
    assert torch.allclose(log_density(drawn, mean, step), expected, rtol=1e-5, atol=1e-4)
    other = mean + 0.1
    both = torch.distributions.Normal(mean, step.std), torch.distributions.Normal(other, step.std)
    divergence = torch.distributions.kl_divergence(*both).mean(1)
    assert torch.allclose(kl_divergence(mean, other, step), divergence, rtol=1e-4, atol=1e-6)


def test_the_means_are_the_papers() -> None:
    """Written out: Flow-GRPO's equation 9, and CPS from its predictions of picture and noise."""
    x, v = torch.tensor([[0.3, -1.2]]), torch.tensor([[0.7, 0.1]])
    steps = trajectory([1.0, 0.8, 0.5, 0.0], "sde", 0.9)
    t, dt, sigma = 0.8, -0.3, 0.9 * math.sqrt(0.8 / 0.2)
    assert steps[1].std == pytest.approx(sigma * math.sqrt(0.3))
    expected = x + (v + sigma**2 / (2 * t) * (x + (1 - t) * v)) * dt
    assert torch.allclose(mean_of(steps[1], x, v), expected, atol=1e-6)
    assert steps[0].sigma == pytest.approx(0.9 * math.sqrt(1.0 / 0.2)), "1 - t of the next time stands in at t = 1"
    (step, *_) = trajectory([1.0, 0.4, 0.0], "cps", 0.5)
    share = math.sin(math.pi / 4)
    mixed = 0.6 * (x - v) + 0.4 * math.sqrt(1 - share**2) * x
    assert torch.allclose(mean_of(step, x, v), mixed, atol=1e-6)
    assert step.std == pytest.approx(0.4 * share)


def test_a_window_is_the_only_place_that_draws() -> None:
    steps = trajectory(times(6), "sde", 0.7, stochastic=range(1, 3))
    assert [step.stochastic for step in steps] == [False, True, True, False, False, False]
    assert not any(step.stochastic for step in trajectory(times(4), "sde", 0.0))
    # The last step of CPS puts nothing in: a picture has no noise.
    assert [step.stochastic for step in trajectory(times(3), "cps", 0.7)] == [True, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: trajectory([1.0], "sde", 0.7),
        lambda: trajectory([0.9, 0.0], "sde", 0.7),
        lambda: trajectory([1.0, 0.5, 0.5, 0.0], "sde", 0.7),
        lambda: trajectory([1.0, 0.5], "sde", 0.7),
        lambda: trajectory(times(4), "sde", 0.7, stochastic=[4]),
        lambda: trajectory(times(4), "sde", -0.1),
        lambda: trajectory(times(4), "cps", 1.1),
        lambda: log_density(torch.zeros(1, 2), torch.zeros(1, 2), Step(0.5, 0.0, "ode")),
        lambda: kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2), Step(0.5, 0.0, "ode")),
    ],
)
def test_what_cannot_be_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"fall from 1|trajectory of 4|noise level|draws nothing"):
        wrong()
