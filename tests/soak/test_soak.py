"""Twenty minutes of mixed load on the shipped judge while its Redis breaks again and again, and more than it can do."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.redis_server import RedisServer, redis_server
from tests.fakes.service_process import ServiceProcess, nano_service
from tests.faults.load import ask, client_of, group, overload, statuses
from tests.faults.test_engine import engine_core
from tests.soak.report import Row
from tests.soak.traffic import Traffic
from tests.soak.vitals import Growth, Vitals, growth, vitals_of

MEASURED = {"scored", "unparsable", "truncated", "low_label_mass"}
SAMPLES = 120


async def sampled(service: ServiceProcess, seconds: float) -> dict[str, Growth]:
    """Look at the service's processes at even intervals."""
    processes = {"service": psutil.Process(service.process.pid), "vLLM": engine_core(service)}
    seen: dict[str, list[Vitals]] = {name: [] for name in processes}
    for _ in range(SAMPLES):
        await asyncio.sleep(seconds / SAMPLES)
        for name, process in processes.items():
            seen[name].append(vitals_of(process))
    return {name: growth(samples) for name, samples in seen.items()}


async def broken(redis: RedisServer, seconds: float, times: int) -> None:
    """Kill, freeze and empty a Redis in turn, at even intervals."""
    for number in range(times):
        await asyncio.sleep(seconds / (times + 1))
        match number % 3:
            case 0:
                redis.kill()
                await asyncio.sleep(2.0)
                await asyncio.to_thread(redis.start)
            case 1:
                redis.freeze()
                await asyncio.sleep(2.0)
                redis.thaw()
            case _:
                redis.command("FLUSHALL")


async def soaked(minutes: float, folder: Path) -> tuple[Traffic, dict[str, Growth], int]:
    """Run the traffic; return it, what the processes held, and how often Redis broke."""
    seconds = 60.0 * minutes
    times = max(3, round(minutes))
    # Small caches, so that they are full long before the second quarter.
    small: dict[str, Any] = {"cache_bytes": 2 * 2**20, "idempotency_bytes": 2**18, "sentinels_every_s": 30.0}
    with redis_server(folder) as redis, nano_service(folder / "log", redis_url=redis.url, **small) as service:
        traffic = Traffic(service.url)
        _, held, _ = await asyncio.gather(
            traffic.run(seconds), sampled(service, seconds), broken(redis, seconds, times)
        )
        async with client_of(service.url) as client:
            assert (await ask(client, group(4))).status == 200
            assert (await client.get("/readyz")).status_code == 200
        service.signal()
        assert await asyncio.to_thread(service.wait) == 0
    return traffic, held, times


def judged(traffic: Traffic) -> None:
    """Everything was measured, or absent for the reason that its client knows."""
    assert {reply.status for kind, ended in traffic.replies.items() if kind != "hasty" for reply in ended} == {200}
    assert {reply.status for reply in traffic.replies["hasty"]} <= {200, 429, 504}
    for kind, ended in traffic.replies.items():
        outcomes = set(itertools.chain.from_iterable(reply.outcomes for reply in ended))
        extra = {"damaged images": {"bad_image"}, "hasty": {"timed_out"}}.get(kind, set())
        assert outcomes <= MEASURED | extra, kind
    assert set(traffic.bodies) <= {200, 400, 415, 422}
    assert min(len(ended) for ended in traffic.replies.values()) > 0
    assert traffic.hung_up > 0


@pytest.mark.vllm
@pytest.mark.slow
async def test_a_quarter_of_a_minute(tmp_path: Path) -> None:
    """The same for as long as every test run has time for; too short to say what grows."""
    traffic, _, _ = await soaked(0.25, tmp_path)
    judged(traffic)


@pytest.mark.soak
async def test_the_whole_soak_with_memory_and_handles_that_stay_flat(
    tmp_path: Path, minutes: float, rows: list[Row]
) -> None:
    traffic, held, times = await soaked(minutes, tmp_path)
    judged(traffic)
    outcomes, answered = traffic.outcomes(), sum(traffic.statuses().values())
    unread = sum(outcomes[name] for name in MEASURED) - outcomes["scored"]
    rows.append(
        Row(
            fault=f"{minutes:g} minutes of groups, probes, repeats, people, damaged images and bodies, short "
            f"deadlines and clients that hang up, with Redis killed, frozen or emptied {times} times",
            seen=f"{answered:,} answers: {outcomes['scored']:,} edits scored, {unread} not readable, "
            f"{outcomes['bad_image']:,} `bad_image`, {outcomes['timed_out']:,} `timed_out` at 150 ms; "
            f"{sum(traffic.bodies.values()):,} damaged bodies 4xx or judged, {traffic.hung_up} hung up; "
            f"a group of 8 in {traffic.median_s('groups'):.1f} s, a person in {traffic.median_s('people'):.1f} s, "
            f"a repeat in {traffic.median_s('repeats') * 1e3:.0f} ms (medians)",
            lost="nothing",
            held="; ".join(f"{name}: {grown}" for name, grown in held.items()),
        )
    )
    for name, grown in held.items():
        assert grown.flat, (name, grown)


@pytest.mark.soak
async def test_half_a_minute_of_ten_times_too_much(tmp_path: Path, rows: list[Row]) -> None:
    with nano_service(tmp_path / "log", max_queued_work=300_000, max_wait_ms=10_000) as service:
        core = engine_core(service)
        before = vitals_of(core).memory
        async with client_of(service.url) as client:
            seen = await overload(client, 30.0, 8)
            assert (await ask(client, group(8))).status == 200
        after = vitals_of(core).memory
    refused = seen.refused
    rows.append(
        Row(
            fault=f"{len(seen.replies):,} groups of 8 in 30 s, ten times what the judge can do",
            seen=f"{seen.goodput:.0f} edits/s scored of {seen.capacity:.0f} it can do; {len(refused):,} groups refused "
            f"with 429 and `Retry-After`, the slowest refusal after {max(one.seconds for one in refused):.1f} s",
            lost="nothing that was let in",
            held=f"vLLM: {before:,.0f} to {after:,.0f} MiB",
        )
    )
    assert set(statuses(seen.replies)) == {200, 429}
    assert all(one.retry_after is not None and int(one.retry_after) >= 1 for one in refused)
    assert seen.goodput >= 0.8 * seen.capacity
