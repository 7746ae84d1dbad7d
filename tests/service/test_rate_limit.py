"""Requests per caller: no more a minute and no more at a time than it may, and a time to come back that holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.auth import hash_key
from edit_rrm_service.callers import Caller, CallerLimits
from edit_rrm_service.errors import ApiError
from edit_rrm_service.rate_limit import RateLimit, TokenBucket
from tests.fakes.clock import Stopwatch
from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, post, running, until

STEADY = Caller("steady", limits=CallerLimits(requests_per_minute=60.0))


def test_a_burst_of_ten_seconds_then_the_rate() -> None:
    clock = Stopwatch()
    limit = RateLimit(clock)
    for _ in range(10):
        with limit.request(STEADY):
            pass
    with pytest.raises(ApiError, match="60 requests a minute; retry in 1 s") as caught, limit.request(STEADY):
        raise AssertionError("let in beyond the rate")
    assert (caught.value.status, caught.value.code, caught.value.headers["Retry-After"]) == (429, "rate_limited", "1")
    clock.now += 1.0
    with limit.request(STEADY):
        pass


def test_callers_do_not_share_a_limit_and_one_without_has_none() -> None:
    limit = RateLimit(Stopwatch())
    other = Caller("other", limits=STEADY.limits)
    for caller in [STEADY] * 10 + [other] * 10 + [Caller("free")] * 1_000:
        with limit.request(caller):
            pass


@given(
    st.floats(0.01, 100.0),
    st.lists(st.floats(-5.0, 30.0), min_size=1, max_size=60),
)
def test_never_more_than_the_burst_and_the_rate_allow_and_waiting_as_told_is_enough(
    per_second: float, pauses: list[float]
) -> None:
    burst = max(1.0, 10.0 * per_second)
    now = start = 1_000.0
    bucket = TokenBucket(per_second, burst, burst, now)
    for taken, pause in enumerate(pauses, 1):
        now += pause  # backwards too, as clocks do
        wait = bucket.take(now)
        if wait:
            now += wait * (1.0 + 1e-9) + 1e-9
            assert bucket.take(now) == 0.0
        forward = sum(max(0.0, one) for one in pauses) + (now - start if now > start else 0.0) + 1.0
        assert taken <= burst + per_second * forward + len(pauses) * 1e-6 + 1


def test_no_more_at_a_time_than_a_caller_may() -> None:
    limit = RateLimit()
    caller = Caller("two", limits=CallerLimits(max_concurrent=2))
    with limit.request(caller), limit.request(caller):
        with pytest.raises(ApiError, match="2 requests under way"), limit.request(caller):
            raise AssertionError("let in beyond the limit")
        with limit.request(Caller("other", limits=caller.limits)):
            pass
    with pytest.raises(RuntimeError), limit.request(caller):
        raise RuntimeError
    with limit.request(caller), limit.request(caller):
        pass


async def test_a_service_refuses_before_it_reads_and_counts_it() -> None:
    engine = FakeEngine(seconds=30.0)
    async with running(engine, key_max_concurrent=1) as client:
        held = asyncio.ensure_future(post(client, headers={"x-deadline-ms": "400"}))
        await until(lambda: engine.decompositions == 1)
        reply = await client.post("/v1/reward", content=b"never read")
        probe = await client.get("/readyz")
        await held
        text = (await client.get("/metrics")).text
    assert (reply.status_code, error_of(reply)["code"], reply.headers["retry-after"]) == (429, "rate_limited", "1")
    assert error_of(reply)["retryable"] is True
    assert probe.status_code == 200
    assert 'edit_rrm_admission_rejected_total{reason="rate_limit"} 1.0' in text


async def test_limits_hold_per_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    slow, fast = (f'[keys.{key}]\nsha256 = "{hash_key(key)}"\n' for key in "ab")
    keys.write_text(f"{slow}requests_per_minute = 1\n{fast}")
    async with running(FakeEngine(), api_keys_file=keys) as client:
        statuses = {
            key: [(await post(client, headers={"authorization": f"Bearer {key}"})).status_code for _ in range(3)]
            for key in "ab"
        }
    assert statuses == {"a": [200, 429, 429], "b": [200, 200, 200]}
