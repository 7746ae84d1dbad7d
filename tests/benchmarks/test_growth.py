"""How growth is told."""

from __future__ import annotations

import pytest

from benchmarks.growth import POINTS, exponent, points


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0])
def test_the_power_of_a_growth_is_found(power: float) -> None:
    points = {size: {"rewards_per_s": {"median": 7.0 / size**power}} for size in (1, 6, 24)}
    assert exponent(points) == pytest.approx(power, abs=1e-9)


def test_no_load_is_seen_twice() -> None:
    seeds = [point.workload.seed for turn in range(3) for _, _, point in points(turn)]
    assert len(set(seeds)) == len(seeds) == 3 * sum(map(len, POINTS.values()))
