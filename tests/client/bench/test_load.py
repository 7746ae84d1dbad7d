"""When groups are sent, when they are said to be due, and what is made of it."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from edit_rrm.verdicts import Outcome, Usage
from edit_rrm_client import AsyncRewardClient, RewardClientError
from edit_rrm_client.bench.arrivals import Arrivals, Bursts, Closed, Open
from edit_rrm_client.bench.load import Served, put_under_load, trickle
from edit_rrm_client.bench.summary import summary
from edit_rrm_client.bench.workload import Workload, group, prepared
from tests.client.fake_service import judgement, judging_service


class Watched:
    """A judge that takes its time, and notes how many edits it looks at together."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.most = 0
        self._seconds = seconds
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, edited: Image.Image) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return judgement(8.0)


def load(url: str, arrivals: Arrivals, count: int = 6, told: list[int] | None = None) -> list[Served]:
    groups = prepared(Workload(group_size=2, side=16), count)

    async def run() -> list[Served]:
        async with AsyncRewardClient(url, timeout=20.0) as client:
            progress = (lambda done: None) if told is None else told.append
            return await put_under_load(client, groups, arrivals, progress=progress)

    return asyncio.run(run())


def test_a_closed_loop_has_so_many_groups_under_way_and_no_more() -> None:
    told: list[int] = []
    with judging_service(Watched(0.02)) as url:
        served = load(url, Closed(2), told=told)
    assert told == [1, 2, 3, 4, 5, 6]
    assert all(one.outcomes == (Outcome.SCORED,) * 2 for one in served)
    events = sorted([(one.due, 1) for one in served] + [(one.ended, -1) for one in served])
    under_way = np.cumsum([change for _, change in events])
    assert under_way.max() <= 2


def test_a_step_waits_for_the_one_before() -> None:
    with judging_service(Watched()) as url:
        served = load(url, Bursts(3))
    first, second = served[:3], served[3:]
    assert len({one.due for one in first}) == 1
    assert second[0].due >= max(one.ended for one in first)


def test_an_open_loop_counts_from_when_a_group_was_due() -> None:
    with judging_service(Watched(0.05)) as url:
        served = load(url, Open(rate=1000.0), count=8)
    assert max(one.due for one in served) < 0.1
    # 16 edits, one after the other, of 50 ms: the last group's wait is in its latency.
    assert summary(served).latency_max >= 0.7


def test_single_edits_trickle_in_until_the_load_beside_them_is_over() -> None:
    single = Workload(group_size=1, side=16, seed=9)

    async def run(url: str) -> list[Served]:
        until = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, until.set)
        async with AsyncRewardClient(url, timeout=20.0, priority="interactive") as client:
            return await trickle(client, lambda number: group(single, number), Open(20.0), until)

    with judging_service(Watched(0.02)) as url:
        served = asyncio.run(run(url))
    assert 5 <= len(served) <= 40
    assert all(one.outcomes == (Outcome.SCORED,) for one in served)
    assert [one.due for one in served] == sorted(one.due for one in served)
    assert served[-1].due < 1.5


def test_arrivals_have_their_rate() -> None:
    due = Open(rate=4.0).due(4000, seed=1)
    gaps = [after - before for before, after in pairwise(due)]
    assert np.mean(gaps) == pytest.approx(0.25, rel=0.05)
    assert np.std(gaps) == pytest.approx(0.25, rel=0.08)
    assert due == Open(rate=4.0).due(4000, seed=1)


def test_nobody_there_is_an_error_and_no_figure() -> None:
    with pytest.raises(RewardClientError):
        load("http://127.0.0.1:9", Closed(2))


@pytest.mark.parametrize("wrong", [lambda: Closed(0), lambda: Open(0.0), lambda: Bursts(0)])
def test_no_load_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"at least|greater than 0"):
        wrong()


def served(due: float, ended: float, scored: int = 2, failed: int = 0) -> Served:
    outcomes = (Outcome.SCORED,) * scored + (Outcome.TIMED_OUT,) * failed
    usage = Usage(prompt_tokens=100, cached_tokens=75, completion_tokens=20)
    return Served(due, ended, outcomes, usage, attempts=1)


def test_figures() -> None:
    found = summary([served(0.0, 1.0), served(1.0, 4.0, scored=1, failed=1), served(2.0, 4.0)], deadline=2.0)
    assert (found.seconds, found.edits, found.scored) == (4.0, 6, 5)
    assert found.rewards_per_s == 5 / 4
    assert found.goodput_per_s == 4 / 4
    assert (found.latency_p50, found.latency_p95, found.latency_max) == (2.0, 3.0, 3.0)
    assert found.outcomes == {"scored": 5, "timed_out": 1}
    assert found.prompt_tokens_per_reward == 60.0
    assert found.cached_share == 0.75
    assert found.completion_tokens_per_reward == 12.0


def test_figures_of_nothing_are_absent() -> None:
    found = summary([Served(0.0, 1.0, (Outcome.TIMED_OUT,), Usage(), 3)])
    assert (found.rewards_per_s, found.goodput_per_s) == (0.0, None)
    assert (found.prompt_tokens_per_reward, found.cached_share, found.completion_tokens_per_reward) == (
        None,
        None,
        None,
    )
    with pytest.raises(ValueError, match="no groups"):
        summary([])
