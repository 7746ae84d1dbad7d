"""Work is done once, in a process and across replicas on a real Redis; and still done when that is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edit_rrm.principles import Category, Principle
from edit_rrm_service.cache_entry import DecompositionRecord, seal
from edit_rrm_service.memory_cache import MemoryCache
from edit_rrm_service.redis_store import RedisStore
from edit_rrm_service.shared_work import How, SharedWork
from edit_rrm_service.store import Lease, StoreDownError
from tests.fakes.redis_server import RedisServer, redis_server
from tests.service.running import until

KEY = "edit-rrm:v1:decomposition:0"


class Seen:
    """Remembers what the metrics were told."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.up: list[bool] = []
        self.failed: Counter[str] = Counter()

    def cache(self, cache: str, tier: str, result: str) -> None:
        self.asked[tier, result] += 1

    def store_up(self, up: bool) -> None:
        self.up.append(up)

    def store_operation(self, operation: str, seconds: float, failed: bool) -> None:
        self.failed[operation] += failed


class Replica:
    """One process's share of the service: a cache and a store of its own, and work that counts itself."""

    def __init__(self, url: str | None, *, lease_s: float = 10.0) -> None:
        self.seen = Seen()
        self.store = None if url is None else RedisStore(url, self.seen, lease_s=lease_s, timeout_s=0.3)
        self.cache = MemoryCache(2**20)
        self.shared = SharedWork(self.cache, self.seen, self.store, renew_every_s=lease_s / 3)
        self.begun = 0
        self.cancelled = 0

    async def ask(self, key: str = KEY, *, seconds: float = 0.0, error: Exception | None = None) -> How:
        async def work() -> DecompositionRecord:
            self.begun += 1
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            if error is not None:
                raise error
            return record(key)

        found, how = await self.shared.run("decomposition", key, DecompositionRecord, work)
        assert found == record(key)
        return how


def record(key: str) -> DecompositionRecord:
    question = Principle(question=f"Is it {key}?", category=Category.IMAGE_QUALITY)
    return DecompositionRecord(principles=(question,))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
async def replicas(redis: RedisServer) -> AsyncIterator[list[Replica]]:
    several = [Replica(redis.url, lease_s=0.9) for _ in range(3)]
    yield several
    for replica in several:
        assert replica.store is not None
        await replica.store.close()


async def test_in_one_process_without_a_store() -> None:
    replica = Replica(None)
    hows = await asyncio.gather(*(replica.ask(seconds=0.02) for _ in range(5)))
    assert Counter(hows) == {"miss": 1, "shared": 4}
    assert await replica.ask() == "hit"
    assert replica.begun == 1
    assert replica.seen.asked == {("local", "miss"): 1, ("local", "coalesced"): 4, ("local", "hit"): 1}


async def test_what_fails_reaches_all_who_wait_and_is_not_remembered() -> None:
    replica = Replica(None)
    failed = await asyncio.gather(
        *(replica.ask(error=ValueError("no"), seconds=0.01) for _ in range(3)), return_exceptions=True
    )
    assert [str(error) for error in failed] == ["no"] * 3
    assert (await replica.ask(), replica.begun) == ("miss", 2)


async def test_a_damaged_entry_is_ignored_and_measured_again() -> None:
    replica = Replica(None)
    replica.cache.put(KEY, b"not what was put")
    assert [await replica.ask(), await replica.ask()] == ["miss", "hit"]
    assert replica.seen.asked["local", "corrupt"] == 1


async def test_replicas_do_it_once_whenever_they_ask(replicas: list[Replica], redis: RedisServer) -> None:
    hows = await asyncio.gather(*(replica.ask(seconds=0.3) for replica in replicas for _ in range(3)))
    assert sum(replica.begun for replica in replicas) == 1
    assert Counter(hows) == {"miss": 1, "hit": 2, "shared": 6}
    asked = sum((replica.seen.asked for replica in replicas), Counter())
    assert (asked["redis", "miss"], asked["redis", "coalesced"]) == (1, 2)
    assert [await replica.ask() for replica in replicas] == ["hit"] * 3
    late = Replica(redis.url)
    assert await late.ask() == "hit"
    assert (late.begun, late.seen.asked["redis", "hit"]) == (0, 1)
    assert late.store is not None
    await late.store.close()


async def test_work_longer_than_its_lease_keeps_it(replicas: list[Replica]) -> None:
    hows = await asyncio.gather(replicas[0].ask(seconds=2.5), replicas[1].ask(seconds=2.5))
    assert sorted(hows) == ["hit", "miss"]
    assert replicas[0].begun + replicas[1].begun == 1


async def test_a_holder_that_died_delays_no_one_past_its_lease(replicas: list[Replica]) -> None:
    dead = replicas[0].store
    assert dead is not None
    assert (await dead.claim(KEY)).lease is not None  # and it never renews
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await replicas[1].ask() == "miss"
    assert 0.5 < loop.time() - started < 0.9 + 0.6


async def test_a_holder_that_was_only_slow_does_not_write_over_who_took_over(
    replicas: list[Replica], redis: RedisServer
) -> None:
    slow, quick = replicas[0].store, replicas[1].store
    assert slow is not None
    assert quick is not None
    first = (await slow.claim(KEY)).lease
    await asyncio.sleep(1.0)
    second = (await quick.claim(KEY)).lease
    assert first is not None
    assert second is not None
    assert not await slow.renew(first)
    assert not await slow.put(first, b"stale", 60.0)
    await slow.release(first)
    assert await quick.renew(second)
    assert await quick.put(second, b"fresh", 60.0)
    assert (await slow.claim(KEY)).value == b"fresh"


async def test_work_that_fails_gives_its_lease_back_at_once(replicas: list[Replica]) -> None:
    with pytest.raises(ValueError, match="no"):
        await replicas[0].ask(error=ValueError("no"))
    assert await asyncio.wait_for(replicas[1].ask(), 0.7) == "miss"


async def test_work_that_is_cancelled_gives_its_lease_back_at_once(replicas: list[Replica]) -> None:
    task = asyncio.ensure_future(replicas[0].ask(seconds=30.0))
    await until(lambda: replicas[0].begun == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(replicas[1].ask(), 0.7) == "miss"
    assert replicas[0].cancelled == 1


async def test_who_leaves_while_claiming_takes_no_lease_along(replicas: list[Replica]) -> None:
    for delay in (0.0, 0.0005, 0.001, 0.002):
        key = f"{KEY}{delay}"
        task = asyncio.ensure_future(replicas[0].ask(key, seconds=30.0))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(replicas[1].ask(key), 0.7) == "miss"


async def test_damaged_and_foreign_entries_of_the_store_are_ignored_and_replaced(
    replicas: list[Replica], redis: RedisServer
) -> None:
    redis.command("SET", KEY, "not what was put")
    assert await replicas[0].ask() == "miss"
    assert replicas[0].seen.asked["redis", "corrupt"] == 1
    assert await replicas[1].ask() == "hit"
    other = f"{KEY}1"
    redis.command("SET", other, seal(KEY, record(KEY)).decode("latin-1"))
    assert await replicas[0].ask(other) == "miss"
    assert replicas[0].seen.asked["redis", "corrupt"] == 2


async def test_a_key_of_another_type_costs_that_key_alone(replicas: list[Replica], redis: RedisServer) -> None:
    redis.command("LPUSH", KEY, "a list")
    assert await replicas[0].ask() == "miss"
    assert replicas[0].seen.asked["redis", "error"] == 1
    assert replicas[0].store is not None
    assert replicas[0].store.problem is None
    assert await replicas[0].ask(f"{KEY}1") == "miss"
    assert await replicas[1].ask(f"{KEY}1") == "hit"


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_store_that_is_gone_costs_time_once_and_is_found_again(
    replicas: list[Replica], redis: RedisServer, fault: str
) -> None:
    replica = replicas[0]
    store = replica.store
    assert store is not None
    await replica.ask(f"{KEY}before")
    redis.kill() if fault == "kill" else redis.freeze()
    loop = asyncio.get_running_loop()
    started = loop.time()
    hows = await asyncio.gather(*(replica.ask(f"{KEY}{index}") for index in range(200)))
    first = loop.time() - started
    started = loop.time()
    hows += [await replica.ask(f"{KEY}again{index}") for index in range(200)]
    again = loop.time() - started
    assert set(hows) == {"miss"}
    # One after the other, each with its own 0.3 s, they would take two minutes.
    assert (first < 5.0, again < 5.0) == (True, True)
    assert store.problem is not None
    assert replica.seen.asked["redis", "error"] == 400
    with pytest.raises(StoreDownError):
        await store.renew(Lease(KEY, "token"))
    redis.start() if fault == "kill" else redis.thaw()
    await until(lambda: store.problem is None)
    assert replica.seen.up == [True, False, True]
    assert await replica.ask(f"{KEY}after") == "miss"
    assert await replicas[1].ask(f"{KEY}after") == "hit"


async def test_a_store_that_goes_while_work_runs_costs_the_work_nothing(
    replicas: list[Replica], redis: RedisServer
) -> None:
    task = asyncio.ensure_future(replicas[0].ask(seconds=0.5))
    waiting = asyncio.ensure_future(replicas[1].ask(seconds=0.0))
    await until(lambda: replicas[0].begun + replicas[1].begun == 1)
    redis.kill()
    assert {await asyncio.wait_for(one, 3.0) for one in (task, waiting)} == {"miss"}


async def test_a_store_that_is_emptied_while_work_runs_has_no_second_holder_in_its_way(
    replicas: list[Replica], redis: RedisServer
) -> None:
    task = asyncio.ensure_future(replicas[0].ask(seconds=0.6))
    await until(lambda: replicas[0].begun == 1)
    await asyncio.sleep(0.05)
    redis.command("FLUSHALL")
    assert await replicas[1].ask() == "miss"
    assert await task == "miss"
    assert await replicas[2].ask() == "hit"
