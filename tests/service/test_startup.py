"""Loading: the port answers at once, work is refused until the judge is there, and a failure says why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx2
import pytest

from edit_rrm.card import CardError
from edit_rrm_service.app import create_app
from edit_rrm_service.engines.base import EngineStartError
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, fake_app, post, running, until


class SlowEngine(FakeEngine):
    """Takes a while to start."""

    async def start(self, labels: Sequence[str]) -> None:
        await asyncio.sleep(0.3)


async def test_until_the_judge_is_loaded_work_is_refused_and_the_process_is_alive() -> None:
    async with running(SlowEngine(), ready=False) as client:
        reply = await post(client)
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).json() == {"status": "starting"}
        assert (await client.get("/startupz")).status_code == 503
        assert reply.status_code == 503
        assert error_of(reply)["code"] == "not_ready"
        assert error_of(reply)["retryable"] is True
        assert int(reply.headers["retry-after"]) >= 1
        await asyncio.sleep(0.4)
        assert (await post(client)).status_code == 200


@pytest.mark.parametrize("error", [EngineStartError("no such model; give --model"), RuntimeError("boom")])
async def test_a_judge_that_cannot_be_loaded_says_why(error: Exception) -> None:
    async with running(FakeEngine(start_error=error), ready=False) as client:
        await asyncio.sleep(0.1)
        ready = await client.get("/readyz")
        reply = await post(client)
    assert ready.status_code == 503
    assert str(error) in ready.json()["reason"]
    assert str(error) in error_of(reply)["message"]
    assert error_of(reply)["retryable"] is False


async def test_whoever_started_the_service_is_told_in_one_line() -> None:
    told: list[str] = []

    def loader(settings: Settings) -> LoadedJudge:
        raise CardError("edit_rrm.json: labels: what is wrong with them")

    app = create_app(Settings(), loader=loader, on_failure=told.append)
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.1)
    assert told == ["edit_rrm.json: labels: what is wrong with them"]


async def test_the_engine_is_closed_with_the_service() -> None:
    engine = FakeEngine()
    async with running(engine):
        assert not engine.closed
    assert engine.closed


async def test_a_service_that_stops_takes_no_more_work() -> None:
    engine = FakeEngine()
    app = fake_app(engine)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        async with app.router.lifespan_context(app):
            await until(lambda: app.state.service.lifecycle.phase is Phase.READY)
        reply = await post(client)
        ready = await client.get("/readyz")
    assert reply.status_code == ready.status_code == 503
    assert "stopping" in error_of(reply)["message"]
    assert "retry-after" in reply.headers
