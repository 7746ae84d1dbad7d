"""How growth is told."""

from __future__ import annotations

import pytest

from benchmarks.growth import exponent


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0])
def test_the_power_of_a_growth_is_found(power: float) -> None:
    points = {size: {"rewards_per_s": {"median": 7.0 / size**power}} for size in (1, 6, 24)}
    assert exponent(points) == pytest.approx(power, abs=1e-9)
