"""Load: edits beyond the limit are refused, with a time to come back that follows the measured drain rate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.admission import Admission
from edit_rrm_service.engines.base import EngineError
from edit_rrm_service.errors import ApiError
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, error_of, post, running


class Stopwatch:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_beyond_the_limit_edits_are_refused_with_when_to_come_back() -> None:
    engine = FakeEngine(seconds=0.3)
    async with running(engine, max_in_flight=2) as client:
        replies = await asyncio.gather(*(post(client, edited=EDITED) for _ in range(5)))
        after = await post(client)
        text = (await client.get("/metrics")).text
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200, 200, 429, 429, 429]
    for reply in replies:
        if reply.status_code == 429:
            assert error_of(reply)["code"] == "overloaded"
            assert error_of(reply)["retryable"] is True
            assert int(reply.headers["retry-after"]) >= 1
    assert after.status_code == 200
    assert "edit_rrm_edits_in_flight 0.0" in text
    assert 'edit_rrm_outcomes_total{outcome="overloaded"} 3.0' in text


@pytest.mark.parametrize("path", ["/v1/reward", "/v1/verify", "/v1/decompose"])
async def test_an_engine_that_failed_says_when_to_come_back_too(path: str) -> None:
    failure = EngineError("the engine stumbled")
    principle = {"question": "Is it blue?", "category": "image_quality"}
    fields: dict[str, Any] = {"principles": [principle]} if path == "/v1/verify" else {}
    async with running(FakeEngine(decomposition=failure, judgement=lambda prompt: failure)) as client:
        reply = await post(client, path, edited=None if path == "/v1/decompose" else EDITED, **fields)
    assert reply.status_code == 503
    assert error_of(reply)["retryable"] is True
    assert 1 <= int(reply.headers["retry-after"]) <= 60


async def test_what_can_never_succeed_names_no_time_to_come_back() -> None:
    failure = EngineError("the weights are broken", retryable=False)
    async with running(FakeEngine(judgement=lambda prompt: failure)) as client:
        reply = await post(client)
    assert reply.status_code == 503
    assert error_of(reply)["retryable"] is False
    assert "retry-after" not in reply.headers


async def test_a_group_that_can_never_fit_is_told_so() -> None:
    async with running(FakeEngine(), max_in_flight=2) as client:
        reply = await post(client, "/v1/rewards", edited=(EDITED,) * 3)
    assert reply.status_code == 422
    assert error_of(reply)["code"] == "too_many_edits"
    assert error_of(reply)["retryable"] is False


def test_the_time_to_come_back_follows_the_measured_drain_rate() -> None:
    clock = Stopwatch()
    admission = Admission(4, lambda _: None, clock=clock)
    assert admission.retry_after_s(4) == 1
    for _ in range(10):
        with admission.admitted(4):
            clock.now += 8.0
    with admission.admitted(4):
        # Half an edit a second.
        assert admission.retry_after_s(4) == 8
        assert admission.retry_after_s(400) == 60
        with pytest.raises(ApiError) as caught, admission.admitted(1):
            raise AssertionError("admitted beyond the limit")
    assert caught.value.headers["Retry-After"] == "2"


def test_idle_time_does_not_count_as_slowness() -> None:
    clock = Stopwatch()
    admission = Admission(4, lambda _: None, clock=clock)
    for _ in range(10):
        with admission.admitted(4):
            clock.now += 1.0
    clock.now += 3_600.0
    with admission.admitted(4):
        assert admission.retry_after_s(4) == 1
        clock.now += 4.0
        # 40 edits in 14 s of work.
        assert admission.retry_after_s(4) == 2


def test_a_rate_that_changed_is_followed() -> None:
    clock = Stopwatch()
    admission = Admission(4, lambda _: None, clock=clock)
    for seconds in (0.01, 8.0):
        for _ in range(300):
            with admission.admitted(4):
                clock.now += seconds
    with admission.admitted(4):
        assert admission.retry_after_s(4) == 8


def test_room_is_given_back_after_a_failure() -> None:
    levels: list[int] = []
    admission = Admission(2, levels.append)
    with pytest.raises(RuntimeError), admission.admitted(2):
        raise RuntimeError
    assert levels == [2, 0]


@given(st.integers(1, 64), st.lists(st.tuples(st.integers(1, 64), st.floats(0.0, 1e4)), max_size=40))
def test_whatever_came_the_time_to_come_back_is_between_one_second_and_a_minute(
    limit: int, history: list[tuple[int, float]]
) -> None:
    clock = Stopwatch()
    admission = Admission(limit, lambda _: None, clock=clock)
    for edits, seconds in history:
        if edits <= limit:
            with admission.admitted(edits):
                clock.now += seconds
        assert 1 <= admission.retry_after_s(edits) <= 60
