"""The shipped judge on vLLM, as a process: its engine is killed, its clients hang up, and it is asked to stop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.service_process import ServiceProcess, nano_service
from tests.faults.load import ask, client_of, group, metric, statuses
from tests.service.running import eventually

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def children(service: ServiceProcess) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(service.process.pid).children(recursive=True)
    return found


def engine_core(service: ServiceProcess) -> psutil.Process:
    """vLLM's engine process: the child that holds the model."""
    return max(children(service), key=lambda process: process.memory_info().rss)


async def test_an_engine_that_is_killed_costs_nobody_a_number_and_is_said_by_liveness(tmp_path: Path) -> None:
    with nano_service(tmp_path / "log", engine_check_ms=200) as service:
        family = children(service)
        async with client_of(service.url) as client:
            under_way = [asyncio.create_task(ask(client, group(4))) for _ in range(32)]

            async def busy() -> bool:
                return await metric(client, "edit_rrm_turns_in_flight") > 16

            await eventually(busy)
            engine_core(service).kill()
            killed = time.monotonic()

            async def dead() -> bool:
                return (await client.get("/livez")).status_code == 503

            await eventually(dead)
            assert time.monotonic() - killed < 5.0
            replies = await asyncio.gather(*under_way)
            assert time.monotonic() - killed < 10.0
            late = await ask(client, group(1))
            alive = (await client.get("/livez")).json()
            assert await metric(client, "edit_rrm_outcomes_total", outcome="engine_error") > 0
        service.signal()
        assert service.wait() == 0
    outcomes = {outcome for reply in replies for outcome in reply.outcomes}
    assert outcomes <= {"scored", "engine_error"}
    assert "engine_error" in outcomes
    assert set(statuses(replies)) <= {200, 503}
    assert (late.status, late.outcomes) == (503, [])
    assert alive["status"] == "dead"
    assert psutil.wait_procs(family, timeout=10.0)[1] == []


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]  # a generator fixture of the next tests
    with nano_service(tmp_path_factory.mktemp("nano") / "log") as running:
        yield running


async def test_a_storm_of_clients_that_hang_up_leaves_nothing_behind(service: ServiceProcess) -> None:
    async with client_of(service.url) as watcher:
        before = await metric(watcher, "edit_rrm_outcomes_total", outcome="cancelled")
        async with client_of(service.url) as client:
            storm = [asyncio.create_task(ask(client, group(2))) for _ in range(500)]

            async def busy() -> bool:
                return await metric(watcher, "edit_rrm_turns_in_flight") > 16

            await eventually(busy)
            for task in storm:
                task.cancel()
            await asyncio.gather(*storm, return_exceptions=True)
        gone = time.monotonic()

        async def calm() -> bool:
            text = (await watcher.get("/metrics")).text
            series = (
                "vllm:num_requests_running{",
                "vllm:num_requests_waiting{",
                "edit_rrm_turns_in_flight ",
                "edit_rrm_queue_depth{",
                "edit_rrm_queue_work_tokens{",
            )
            levels = [line for line in text.splitlines() if line.startswith(series)]
            assert len(levels) == 7, levels
            return all(line.rpartition(" ")[2] == "0.0" for line in levels)

        await eventually(calm)
        assert time.monotonic() - gone < 10.0
        assert await metric(watcher, "edit_rrm_outcomes_total", outcome="cancelled") > before
        assert (await ask(watcher, group(4))).outcomes == ["scored"] * 4


async def test_a_signal_with_two_hundred_under_way_loses_none(tmp_path: Path) -> None:
    with nano_service(tmp_path / "log", drain_delay_ms=200) as service:
        async with client_of(service.url) as client:
            under_way = [asyncio.create_task(ask(client, group(1))) for _ in range(200)]

            async def let_in() -> bool:
                answered = sum(task.done() for task in under_way)
                return answered + await metric(client, "edit_rrm_http_requests_in_flight") >= 200

            await eventually(let_in)
            assert sum(task.done() for task in under_way) < 100
            service.signal()
            replies = await asyncio.gather(*under_way)
        assert service.wait() == 0
    assert statuses(replies) == {200: 200}
    assert sum(reply.scored for reply in replies) >= 198  # the judge may fail to read one, and says so
    assert {outcome for reply in replies for outcome in reply.outcomes} <= {"scored", "unparsable", "truncated"}


async def test_a_service_that_is_killed_takes_its_engine_along(tmp_path: Path) -> None:
    with nano_service(tmp_path / "log") as service:
        family = children(service)
        assert engine_core(service) in family
        service.process.kill()
        service.process.wait()
        assert psutil.wait_procs(family, timeout=10.0)[1] == []
