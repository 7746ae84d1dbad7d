"""A client that hangs up stops the work it asked for; the service goes on. On a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn

from edit_rrm_service.state import Phase
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, fake_app, post


async def until(condition: Callable[[], bool], tries: int = 1_000) -> None:
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen in time")


@asynccontextmanager
async def listening(engine: FakeEngine) -> AsyncIterator[str]:
    """A service on a port of its own."""
    app = fake_app(engine)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    task = asyncio.ensure_future(server.serve())
    await until(lambda: server.started)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    state = app.state.service
    await until(lambda: state.phase is Phase.READY)
    try:
        yield url
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize("path", ["/v1/reward", "/v1/rewards", "/v1/decompose"])
async def test_hanging_up_cancels_the_engines_work(path: str) -> None:
    engine = FakeEngine(seconds=30.0)
    async with listening(engine) as url:
        async with httpx2.AsyncClient(base_url=url) as client:
            edited = None if path == "/v1/decompose" else EDITED
            asked = asyncio.ensure_future(post(client, path, edited=edited))
            await until(lambda: len(engine.generated) == 1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await until(lambda: engine.cancelled == 1)
        engine.seconds = 0.0
        async with httpx2.AsyncClient(base_url=url) as client:
            assert (await post(client)).status_code == 200
            text = (await client.get("/metrics")).text
    assert "edit_rrm_edits_in_flight 0.0" in text
    assert engine.closed


async def test_another_waiters_work_goes_on() -> None:
    engine = FakeEngine(seconds=0.4)
    async with listening(engine) as url, httpx2.AsyncClient(base_url=url) as client:
        leaving = asyncio.ensure_future(post(client))
        staying = asyncio.ensure_future(post(client))
        await until(lambda: len(engine.generated) == 1)
        leaving.cancel()
        assert (await staying).status_code == 200
        assert engine.decompositions == 1
