"""More than the judge can do: it goes on at its own pace, says no at once to the rest, and shares what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from edit_rrm_service.auth import hash_key
from tests.fakes.service_process import ServiceProcess, nano_service
from tests.faults.load import ask, client_of, closed_loop, group, metric, overload, statuses

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

EDITS = 8


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder: Path = tmp_path_factory.mktemp("overload")
    keys = folder / "keys.toml"
    keys.write_text("\n".join(f'[keys.{name}]\nsha256 = "{hash_key(name)}"' for name in ("greedy", "modest", "person")))
    # A queue that is full within the seconds of a test, and holds several times what vLLM works on at a time: a smaller
    # one would share what is let in by who asks first.
    with nano_service(folder / "log", api_keys_file=keys, max_queued_work=300_000, max_wait_ms=10_000) as running:
        yield running


def of(service: ServiceProcess, name: str) -> httpx2.AsyncClient:
    return client_of(service.url, authorization=f"Bearer {name}")


async def test_ten_times_too_much_leaves_four_fifths_of_what_it_can_do(service: ServiceProcess) -> None:
    async with of(service, "greedy") as client:
        seen = await overload(client, 10.0, EDITS)
        after = await ask(client, group(EDITS))
    print(f"capacity {seen.capacity:.1f} edits/s, goodput {seen.goodput:.1f}")
    assert set(statuses(seen.replies)) == {200, 429}
    assert all(reply.retry_after is not None and int(reply.retry_after) >= 1 for reply in seen.refused)
    assert max(reply.seconds for reply in seen.refused) < 5.0
    assert seen.goodput >= 0.8 * seen.capacity
    assert after.status == 200


async def test_a_greedy_trainer_leaves_a_modest_one_its_share(service: ServiceProcess) -> None:
    """Both want more than half: one has all that vLLM works on at a time under way, the other three times that."""

    async def trainer(name: str, workers: int) -> float:
        async with of(service, name) as client:
            return await closed_loop(client, workers, 20.0, EDITS)

    greedy, modest = await asyncio.gather(trainer("greedy", 120), trainer("modest", 40))
    print(f"greedy {greedy:.1f} edits/s, modest {modest:.1f}")
    assert modest >= 0.4 * (greedy + modest), (greedy, modest)


async def test_a_person_does_not_wait_in_the_queue_of_trainers(service: ServiceProcess) -> None:
    async with of(service, "greedy") as trainer, of(service, "person") as person:

        async def waits(priority: str) -> tuple[float, float]:
            series = "edit_rrm_queue_wait_seconds"
            seconds = await metric(person, f"{series}_sum", priority=priority)
            return seconds, await metric(person, f"{series}_count", priority=priority)

        before = {priority: await waits(priority) for priority in ("interactive", "training")}
        busy = asyncio.create_task(closed_loop(trainer, 60, 12.0, EDITS, warm_s=0.0))
        await asyncio.sleep(6.0)
        replies = [await ask(person, group(1), **{"x-priority": "interactive"}) for _ in range(4)]
        await busy
        mean = {}
        for priority, (seconds, turns) in before.items():
            after_seconds, after_turns = await waits(priority)
            mean[priority] = (after_seconds - seconds) / (after_turns - turns)
    print(f"mean wait for a turn: {mean}")
    assert [reply.status for reply in replies] == [200] * 4
    assert mean["interactive"] < 0.5 * mean["training"]
