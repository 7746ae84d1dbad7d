"""Two replicas of the shipped judge on one Redis, and one of them dies while the other waits for what it was doing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.redis_server import redis_server
from tests.fakes.service_process import nano_service
from tests.faults.load import ask, client_of, group, metric
from tests.service.running import eventually

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

LEASE_S = 2.0
DONE = {"scored", "unparsable", "truncated"}


async def test_a_replica_that_dies_holding_leases_delays_the_other_by_a_lease_at_most(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        shared: dict[str, Any] = {"redis_url": redis.url, "lease_ms": round(LEASE_S * 1e3)}
        with (
            nano_service(tmp_path / "dying.log", **shared) as dying,
            nano_service(tmp_path / "other.log", **shared) as other,
        ):
            async with client_of(dying.url) as to_dying, client_of(other.url) as to_other:
                asked = group(64)

                async def holds_leases() -> bool:
                    return redis.command("KEYS", "*verification*lease").count(b"verification") >= 16

                async def waits() -> bool:
                    """For the first replica's measurements: it has had the principles from it, and works on none."""
                    asked_for = {"cache": "decomposition", "tier": "redis"}
                    found = [
                        await metric(to_other, "edit_rrm_cache_requests_total", **asked_for, result=result)
                        for result in ("hit", "coalesced")
                    ]
                    return sum(found) == 1

                lost = asyncio.ensure_future(ask(to_dying, asked))
                await eventually(holds_leases)
                waiting = asyncio.ensure_future(ask(to_other, asked))
                await eventually(waits)
                dying.process.kill()
                killed = time.monotonic()
                assert (await lost).status is None
                reply = await waiting
                took = time.monotonic() - killed

                alone = time.monotonic()
                unhindered = await ask(to_other, group(64))
                alone = time.monotonic() - alone
                again = await ask(to_other, asked)
                assert await metric(to_other, "edit_rrm_redis_up") == 1
        assert redis.command("KEYS", "*lease*").startswith(b"*0")
    assert (reply.status, unhindered.status) == (200, 200)
    assert len(reply.outcomes) == 64
    assert set(reply.outcomes) <= DONE
    assert took < LEASE_S + 2.0 * alone + 1.0, (took, alone)
    measured = [score for score in reply.scores if score is not None]
    assert [score for score in again.scores if score is not None] == measured
