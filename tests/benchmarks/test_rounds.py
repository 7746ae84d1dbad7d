"""Ratios are taken within a round."""

from __future__ import annotations

import pytest

from benchmarks.machine import machine
from benchmarks.speed.rounds import Spread, compared


def test_a_slow_minute_changes_no_ratio() -> None:
    found = compared([{"ours": 30.0, "theirs": 10.0}, {"ours": 3.0, "theirs": 1.0}, {"ours": 40.0, "theirs": 10.0}])
    assert found.ratios == {"theirs": Spread(3.0, 3.0, 4.0)}
    assert found.rates["ours"] == Spread(30.0, 3.0, 40.0)


def test_rounds_are_of_the_same_contenders() -> None:
    with pytest.raises(ValueError, match="same contenders"):
        compared([{"ours": 1.0, "theirs": 2.0}, {"ours": 1.0}])
    with pytest.raises(ValueError, match="at least one"):
        compared([])


def test_a_machine_is_named() -> None:
    assert "cores" in machine()
