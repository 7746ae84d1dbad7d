"""Twenty thousand damaged images, and as many damaged bodies: no 5xx, no crash, no growth."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.fakes.service_process import fake_service
from tests.service.running import SOURCE, error_of, post
from tests.service.test_fuzz import bodies, mutants
from tests.soak.report import Row
from tests.soak.vitals import Growth, growth, vitals_of

pytestmark = pytest.mark.soak

WHOLE = 20_000
SAMPLES = 40
EDITS = 25


async def sent(folder: Path, count: int, send: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> Growth:
    """Send so many requests, four at a time, and look at the service meanwhile."""
    with fake_service(folder / "log", cache_bytes=2**20) as service:
        process = psutil.Process(service.process.pid)
        samples = []
        async with httpx2.AsyncClient(base_url=service.url, timeout=60.0) as client:

            async def some(requests: int) -> None:
                for _ in range(requests):
                    await send(client)

            for _ in range(SAMPLES):
                await asyncio.gather(*(some(count // SAMPLES // 4) for _ in range(4)))
                samples.append(vitals_of(process))
        service.signal()
        assert await asyncio.to_thread(service.wait) == 0
    return growth(samples)


async def test_damaged_images(tmp_path: Path, rows: list[Row]) -> None:
    files = mutants(1)
    outcomes: Counter[str] = Counter()

    async def send(client: httpx2.AsyncClient) -> None:
        reply = await post(client, "/v1/rewards", source=SOURCE, edited=tuple(next(files) for _ in range(EDITS)))
        assert reply.status_code == 200, reply.text
        outcomes.update(result["outcome"] for result in reply.json()["results"])

    held = await sent(tmp_path, WHOLE // EDITS, send)
    assert set(outcomes) == {"scored", "bad_image"}
    assert sum(outcomes.values()) == WHOLE
    rows.append(
        Row(
            fault=f"{WHOLE:,} damaged images, {EDITS} in a request",
            seen=f"{outcomes['bad_image']:,} `bad_image`, {outcomes['scored']:,} that were still images judged; no 5xx",
            lost="nothing",
            held=str(held),
        )
    )
    assert held.flat, held


async def test_damaged_bodies(tmp_path: Path, rows: list[Row]) -> None:
    damaged = bodies(1)
    seen: Counter[int] = Counter()

    async def send(client: httpx2.AsyncClient) -> None:
        body, headers = next(damaged)
        reply = await client.post("/v1/rewards", content=body, headers=headers)
        seen[reply.status_code] += 1
        if reply.status_code != 200:
            assert error_of(reply)["retryable"] is False

    held = await sent(tmp_path, WHOLE, send)
    assert set(seen) <= {200, 400, 415, 422}
    assert sum(seen.values()) == WHOLE
    rows.append(
        Row(
            fault=f"{WHOLE:,} damaged multipart bodies",
            seen=", ".join(f"{count:,} times {status}" for status, count in sorted(seen.items())) + "; no 5xx",
            lost="nothing",
            held=str(held),
        )
    )
    assert held.flat, held
