"""A client that hangs up stops the work it asked for; the service goes on. On a real socket."""

from __future__ import annotations

import asyncio
import logging

import httpx2
import pytest

from edit_rrm_service.engines.base import Prompt
from tests.fakes.engine import GOOD, FakeEngine, pictures
from tests.service.running import EDITED, eventually, listening, png, post, until
from tests.service.test_metrics import value


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
    assert "edit_rrm_turns_in_flight 0.0" in text
    assert engine.closed


async def test_another_waiters_work_goes_on() -> None:
    engine = FakeEngine(seconds=1.5)
    async with listening(engine) as url, httpx2.AsyncClient(base_url=url, timeout=30.0) as client:
        leaving = asyncio.ensure_future(post(client))
        staying = asyncio.ensure_future(post(client))

        async def both_wait() -> bool:
            return value((await client.get("/metrics")).text, "edit_rrm_group_size_count") == 2

        await eventually(both_wait)
        await asyncio.sleep(0.2)  # and have decoded their images
        assert len(engine.generated) == 1
        leaving.cancel()
        assert (await staying).status_code == 200
        assert engine.decompositions == 1


@pytest.mark.parametrize("mode", ["think", "probe"])
async def test_hanging_up_on_a_group_stops_every_edit_of_it(mode: str) -> None:
    engine = FakeEngine(seconds=lambda prompt: 30.0 if len(pictures(prompt)) == 2 else 0.0)
    async with listening(engine) as url:
        async with httpx2.AsyncClient(base_url=url) as client:
            edits = tuple(png("blue", (64 + index, 64)) for index in range(6))
            asked = asyncio.ensure_future(post(client, "/v1/rewards", edited=edits, mode=mode))
            await until(lambda: len(engine.samplings) - 1 + len(engine.probed) // 3 == 6)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await until(lambda: engine.cancelled == 6)
        async with httpx2.AsyncClient(base_url=url) as client:
            text = (await client.get("/metrics")).text
    assert 'edit_rrm_outcomes_total{outcome="cancelled"} 6.0' in text
    assert 'edit_rrm_http_requests_total{route="/v1/rewards",status="499"} 1.0' in text


async def test_edits_that_were_done_before_the_client_hung_up_are_not_counted_twice() -> None:
    def seconds(prompt: Prompt) -> float:
        return 30.0 if len(pictures(prompt)) == 2 and pictures(prompt)[1].pixels.width == 64 else 0.0

    engine = FakeEngine(seconds=seconds)
    async with listening(engine) as url:
        async with httpx2.AsyncClient(base_url=url) as client:
            edits = (png("blue", (65, 64)), png("blue", (64, 64)), b"no image")
            asked = asyncio.ensure_future(post(client, "/v1/rewards", edited=edits))
            await until(lambda: len(engine.generated) == 3)
            await asyncio.sleep(0.05)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await until(lambda: engine.cancelled == 1)
        async with httpx2.AsyncClient(base_url=url) as client:
            text = (await client.get("/metrics")).text
    for outcome in ("scored", "cancelled", "bad_image"):
        assert f'edit_rrm_outcomes_total{{outcome="{outcome}"}} 1.0' in text


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
async def test_an_upload_that_breaks_off_is_no_bug_of_the_service(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    began = b'--x\r\nContent-Disposition: form-data; name="source"; filename="a.png"\r\n\r\nabc'
    head = f"POST /v1/reward HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: 90000\r\n\r\n"
    counted = 'edit_rrm_http_requests_total{route="/v1/reward",status="499"} 1.0'
    with caplog.at_level(logging.INFO, "edit_rrm_service"):
        async with listening(FakeEngine(judgement=lambda prompt: GOOD)) as url:
            _, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
            writer.write(head.encode() + began)
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()
            await writer.wait_closed()
            text = ""
            async with httpx2.AsyncClient(base_url=url) as client:
                for _ in range(500):
                    text = (await client.get("/metrics")).text
                    if 'route="/v1/reward",status' in text:
                        break
                    await asyncio.sleep(0.01)
                assert counted in text
                assert (await post(client)).status_code == 200
    # The loop itself logs whatever it collects, of other tests as well.
    told = [record for record in caplog.records if record.levelno >= logging.WARNING and record.name != "asyncio"]
    assert [record.message for record in told] == []
