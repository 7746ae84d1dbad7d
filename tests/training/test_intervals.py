"""Intervals against published values, and what has to hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.judge.intervals import Share, clustered, mean_of_shares, paired_gain, score_interval, wilson

counts = st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
cluster = st.integers(1, 12).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))
clusters = st.lists(cluster, min_size=1, max_size=60)


def bounds(share: Share) -> tuple[float, float]:
    assert share.low is not None
    assert share.high is not None
    return share.low, share.high


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe (1998), table I, method 3 (the score method without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_values(hits: int, total: int, low: float, high: float) -> None:
    assert bounds(wilson(hits, total)) == pytest.approx((low, high), abs=5e-5)


@given(counts)
def test_wilson_holds_its_share_within_0_and_1(count: tuple[int, int]) -> None:
    share = wilson(*count)
    low, high = bounds(share)
    assert share.value == count[0] / count[1]
    assert 0.0 <= low <= share.value <= high <= 1.0
    assert low < high, "some doubt is always left"


@given(counts)
def test_wilson_treats_hits_and_misses_alike(count: tuple[int, int]) -> None:
    hits, total = count
    low, high = bounds(wilson(hits, total))
    assert bounds(wilson(total - hits, total)) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)


def test_nothing_counted_is_no_number() -> None:
    nothing = Share(None, None, None, 0, 0)
    assert wilson(0, 0) == clustered([]) == clustered([(0, 0), (0, 0)]) == nothing


def test_a_single_cluster_says_nothing_about_the_others() -> None:
    assert bounds(clustered([(3, 4)])) == (0.0, 1.0)


def test_clustered_gives_the_linearised_variance() -> None:
    """By hand: share 0.5, residuals 1, 1, 1, 1, so the error is sqrt(4/3 * 4) / 8 and n_eff = 0.25 / error**2 = 3."""
    assert bounds(clustered([(2, 2), (0, 2), (2, 2), (0, 2)])) == pytest.approx(bounds(wilson_of(0.5, 3.0)), abs=1e-9)


def wilson_of(share: float, total: float) -> Share:
    return Share(share, *score_interval(share, total), 0, 0)


@given(clusters)
def test_clustered_holds_its_share_within_0_and_1(found: list[tuple[int, int]]) -> None:
    share = clustered(found)
    low, high = bounds(share)
    assert share.value is not None
    assert 0.0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1.0
    assert (share.hits, share.total) == (sum(hit for hit, _ in found), sum(trials for _, trials in found))


@given(clusters)
def test_clustered_is_never_surer_than_independent_trials(found: list[tuple[int, int]]) -> None:
    share = clustered(found)
    low, high = bounds(share)
    wilson_low, wilson_high = bounds(wilson(int(share.hits), share.total))
    assert low <= wilson_low + 1e-12
    assert high >= wilson_high - 1e-12


@given(st.integers(2, 200), st.integers(1, 9))
def test_a_perfect_record_leaves_the_doubt_of_its_clusters(count: int, trials: int) -> None:
    """All right is no proof of always right: 40 verdicts on 10 edits are the evidence of at least 10."""
    assert bounds(clustered([(trials, trials)] * count)) == pytest.approx(bounds(wilson(count, count)))
    assert bounds(clustered([(0, trials)] * count)) == pytest.approx(bounds(wilson(0, count)))


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.integers(2, 9))
def test_verdicts_that_stand_and_fall_together_are_no_further_evidence(outcomes: list[bool], times: int) -> None:
    once = clustered([(int(hit), 1) for hit in outcomes])
    copied = clustered([(times * hit, times) for hit in outcomes])
    assert bounds(copied) == pytest.approx(bounds(once))


def test_half_hits_are_counted_as_halves() -> None:
    share = clustered([(0.5, 1), (1, 1), (0, 1), (0.5, 1)])
    assert (share.value, share.hits, share.total) == (0.5, 2.0, 4)


def test_a_mean_of_one_share_is_that_share() -> None:
    one = wilson(15, 148)
    assert bounds(mean_of_shares([one])) == pytest.approx(bounds(one))
    assert mean_of_shares([]) == Share(None, None, None, 0, 0)


def test_a_mean_weighs_parts_alike_however_many_trials_they_have() -> None:
    share = mean_of_shares([wilson(90, 100), wilson(1, 10)])
    assert share.value == pytest.approx(0.5)
    assert (share.hits, share.total) == (91, 110)


@given(st.lists(counts, min_size=1, max_size=13))
def test_a_mean_of_shares_holds_its_value_and_is_surer_than_its_parts(found: list[tuple[int, int]]) -> None:
    parts = [wilson(*count) for count in found]
    share = mean_of_shares(parts)
    low, high = bounds(share)
    assert share.value is not None
    assert 0.0 <= low <= share.value <= high <= 1.0
    widths = [bounds(part)[1] - bounds(part)[0] for part in parts]
    assert high - low <= sum(widths) / len(widths) + 1e-9


def test_a_gain_has_the_interval_of_its_differences() -> None:
    """Its interval holds the truth about as often as it says, and what both sides share costs nothing."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        before = rng.random(200) < 0.4
        after = np.where(rng.random(200) < 0.5, before, rng.random(200) < 0.6)
        gain = paired_gain(before.astype(float).tolist(), after.astype(float).tolist())
        held += gain.low <= 0.1 <= gain.high
        assert gain.value == pytest.approx(gain.after - gain.before)
    assert 0.92 < held / 400 < 0.98
    same = paired_gain([0.0, 1.0, 1.0], [0.5, 1.5, 1.5])
    assert (same.value, same.low, same.high, same.total) == (0.5, 0.5, 0.5, 3)
    with pytest.raises(ValueError, match="at least two pairs"):
        paired_gain([1.0], [1.0])
