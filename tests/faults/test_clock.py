"""A wall clock that is set while requests are under way: nothing here asks it for the time."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.jumping_clock import VARIABLE, set_clock
from tests.fakes.redis_server import redis_server
from tests.fakes.service_process import nano_service
from tests.faults.load import Reply, ask, client_of, group, metric
from tests.service.running import eventually

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

DAY = 86_400.0
DONE = {"scored", "unparsable", "truncated"}


async def test_a_clock_that_jumps_costs_nobody_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, 0.0)
    monkeypatch.setenv(VARIABLE, str(clock))
    settings: dict[str, Any] = {"lease_ms": 1_000, "sentinels_every_s": 1.0, "key_requests_per_minute": 6_000}
    with (
        redis_server(tmp_path) as redis,
        nano_service(tmp_path / "log", module="tests.fakes.jumping_clock", redis_url=redis.url, **settings) as service,
    ):
        async with client_of(service.url) as client:

            async def busy() -> bool:
                return await metric(client, "edit_rrm_turns_in_flight") > 4

            async def wrong_by(seconds: float) -> bool:
                """Whether the service's clock is, by a header that its server writes anew every second."""
                written = parsedate_to_datetime((await client.get("/livez")).headers["date"])
                return abs(written.timestamp() - time.time() - seconds) < 30.0

            before = group(8)
            replies: list[Reply] = [await ask(client, before)]
            for wrong in (DAY, -2 * DAY, 0.0):
                began = time.monotonic()
                under_way = asyncio.ensure_future(ask(client, group(8), **{"x-deadline-ms": "60000"}))
                await eventually(busy)
                set_clock(clock, wrong)
                replies.append(await under_way)
                replies.append(await ask(client, before))
                assert time.monotonic() - began < 30.0
                # A deadline is still as long as it says.
                hasty = await ask(client, group(2), **{"x-deadline-ms": "50"})
                assert (hasty.status, set(hasty.outcomes)) in ((504, set()), (200, {"timed_out"}))
                assert (await client.get("/readyz")).status_code == 200
                await eventually(partial(wrong_by, wrong))
            assert await metric(client, "edit_rrm_redis_up") == 1
            assert await metric(client, "edit_rrm_sentinels_ok") == 1
        service.signal()
        assert await asyncio.to_thread(service.wait) == 0
    assert [reply.status for reply in replies] == [200] * len(replies)
    assert {outcome for reply in replies for outcome in reply.outcomes} <= DONE
    assert {reply.scores for reply in replies[::2]} == {replies[0].scores}
