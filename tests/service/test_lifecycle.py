"""Stopping loses nothing, a dead engine is said at once, and one that cannot work for a while is not asked."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from edit_rrm_service.engines.base import EngineError
from edit_rrm_service.errors import ApiError
from edit_rrm_service.lifecycle import Lifecycle, Phase
from tests.fakes.engine import FakeEngine
from tests.fakes.service_process import fake_service
from tests.service.running import EDITED, INSTRUCTION, SOURCE, error_of, eventually, in_base64, post, running
from tests.service.test_metrics import value


async def asked(client: httpx2.AsyncClient, index: int) -> httpx2.Response:
    return await post(client, instruction=f"make it {index}")


async def busy(client: httpx2.AsyncClient) -> None:
    """Wait until the engine works."""

    async def running_turns() -> bool:
        return "edit_rrm_turns_in_flight 0.0" not in (await client.get("/metrics")).text

    await eventually(running_turns)


async def in_phase(client: httpx2.AsyncClient, phase: str) -> httpx2.Response:
    """Wait until the service says so."""

    async def reached() -> bool:
        return bool((await client.get("/readyz")).json()["status"] == phase)

    await eventually(reached)
    return await client.get("/readyz")


async def test_a_signal_under_load_loses_nothing(tmp_path: Path) -> None:
    with fake_service(tmp_path / "log", seconds=1.0, drain_delay_ms=500) as service:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=service.url, timeout=30.0, limits=limits) as client:
            replies = [asyncio.ensure_future(asked(client, index)) for index in range(200)]
            await busy(client)
            service.signal()
            ready = await in_phase(client, "draining")
            still = await asked(client, 1_000)
            statuses = Counter([(await reply).status_code for reply in replies])
        assert await asyncio.to_thread(service.wait) == 0
    assert statuses == {200: 200}
    assert (ready.status_code, ready.json()["reason"]) == (503, "the service was asked to stop")
    assert (still.status_code, still.headers["connection"]) == (200, "close")


async def test_after_the_delay_what_comes_is_refused_and_what_is_under_way_is_finished(tmp_path: Path) -> None:
    with fake_service(tmp_path / "log", seconds=1.5, drain_delay_ms=0) as service:
        async with httpx2.AsyncClient(base_url=service.url, timeout=30.0) as client:
            first = asyncio.ensure_future(asked(client, 0))
            await busy(client)
            service.signal()
            await in_phase(client, "stopping")
            late = await asked(client, 1)
            alive = await client.get("/livez")
            text = (await client.get("/metrics")).text
            assert (await first).status_code == 200
        assert await asyncio.to_thread(service.wait) == 0
    assert (late.status_code, error_of(late)["code"], error_of(late)["retryable"]) == (503, "draining", True)
    assert int(late.headers["retry-after"]) >= 1
    assert alive.status_code == 200
    assert value(text, "edit_rrm_admission_rejected_total", reason="draining") == 1


async def test_what_was_let_in_is_judged_though_its_body_ends_after_the_delay(tmp_path: Path) -> None:
    with fake_service(tmp_path / "log", drain_delay_ms=0) as service:
        async with httpx2.AsyncClient(base_url=service.url, timeout=30.0) as client:

            async def slowly() -> AsyncIterator[bytes]:
                fields = {"instruction": INSTRUCTION, "source": in_base64(SOURCE), "edited": in_base64(EDITED)}
                body = json.dumps(fields).encode()
                yield body[:100]
                await eventually(let_in)
                service.signal()
                await in_phase(client, "stopping")
                yield body[100:]

            async def let_in() -> bool:
                return "edit_rrm_http_requests_in_flight 1.0" in (await client.get("/metrics")).text

            reply = await client.post("/v1/reward", content=slowly(), headers={"content-type": "application/json"})
        assert await asyncio.to_thread(service.wait) == 0
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("second", [True, False])
async def test_what_takes_too_long_is_given_up_and_a_second_signal_hurries(tmp_path: Path, second: bool) -> None:
    timeout = 60_000 if second else 300
    with fake_service(tmp_path / "log", seconds=60.0, drain_delay_ms=0, drain_timeout_ms=timeout) as service:
        async with httpx2.AsyncClient(base_url=service.url, timeout=30.0) as client:
            first = asyncio.ensure_future(asked(client, 0))
            await busy(client)
            began = time.monotonic()
            service.signal()
            if second:
                await in_phase(client, "stopping")
                service.signal()
            reply = await first
        assert await asyncio.to_thread(service.wait) == 0
    assert time.monotonic() - began < 15.0
    assert (reply.status_code, error_of(reply)["code"], error_of(reply)["retryable"]) == (503, "draining", True)


async def test_at_a_terminal_there_is_no_delay(tmp_path: Path) -> None:
    with fake_service(tmp_path / "log", drain_delay_ms=60_000) as service:
        service.signal(signal.SIGINT)
        assert await asyncio.to_thread(service.wait) == 0


async def test_a_dead_engine_is_said_by_liveness_and_costs_nobody_a_number() -> None:
    engine = FakeEngine()
    async with running(engine, engine_check_ms=10) as client:
        engine.dead = True
        await in_phase(client, "dead")
        alive = await client.get("/livez")
        reply = await post(client)
        assert (await client.get("/startupz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
    assert alive.json()["status"] == "dead"
    assert "the fake engine is dead" in alive.json()["reason"]
    assert reply.status_code == 503
    assert engine.generated == []


async def test_an_engine_that_cannot_work_for_a_while_is_unready_and_comes_back() -> None:
    class Shy(FakeEngine):
        away = False

        async def check(self) -> None:
            if self.away:
                raise EngineError("no server answers")

    engine = Shy()
    async with running(engine, engine_check_ms=10) as client:
        engine.away = True
        ready = await in_phase(client, "unfit")
        reply = await post(client)
        assert (await client.get("/livez")).status_code == 200
        engine.away = False
        await in_phase(client, "ready")
        assert (await post(client)).status_code == 200
    assert ready.json() == {"status": "unfit", "reason": "the engine cannot work: no server answers"}
    assert (reply.status_code, error_of(reply)["retryable"]) == (503, True)
    assert "retry-after" in reply.headers


def step(life: Lifecycle, name: str) -> None:
    getattr(life, name)(*(["why"] if name in ("unfit", "failed", "dead") else []))


@pytest.mark.parametrize(
    ("steps", "phase", "takes_work"),
    [
        ([], Phase.STARTING, False),
        (["unfit"], Phase.UNFIT, False),
        (["ready"], Phase.READY, True),
        (["ready", "unfit"], Phase.UNFIT, False),
        (["ready", "unfit", "ready"], Phase.READY, True),
        (["ready", "drain"], Phase.DRAINING, True),
        (["ready", "drain", "ready"], Phase.DRAINING, True),
        (["ready", "drain", "unfit"], Phase.DRAINING, True),
        (["ready", "drain", "stop", "ready"], Phase.STOPPING, False),
        (["failed", "ready"], Phase.FAILED, False),
        (["ready", "dead", "ready", "drain"], Phase.DEAD, False),
    ],
)
async def test_phases_follow_each_other(steps: list[str], phase: Phase, takes_work: bool) -> None:
    told: list[Phase] = []
    life = Lifecycle(told.append)
    for name in steps:
        step(life, name)
    assert life.phase is phase
    assert (told[0], told[-1]) == (Phase.STARTING, phase)
    if takes_work or phase is Phase.STOPPING:
        life.require_judge()
    else:
        with pytest.raises(ApiError):
            life.require_judge()
    if takes_work:
        life.require_ready()
    else:
        with pytest.raises(ApiError) as caught:
            life.require_ready()
        assert caught.value.status == 503
        assert caught.value.retryable is (phase is not Phase.FAILED)


async def test_idle_is_when_the_last_request_is_answered() -> None:
    life = Lifecycle()
    assert await life.wait_idle(0.0)
    with life.request():
        with life.request():
            assert not await life.wait_idle(0.01)
        waiting: Any = asyncio.ensure_future(life.wait_idle(5.0))
        await asyncio.sleep(0)
        assert (waiting.done(), life.under_way) == (False, 1)
    assert await waiting
