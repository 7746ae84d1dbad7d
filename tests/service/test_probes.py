"""Probes on a port of their own: up before the judge is loaded, up until the last answer, and nothing else there."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx2

from edit_rrm_service.auth import hash_key
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.probes import probe_app
from tests.fakes.engine import FakeEngine
from tests.fakes.service_process import fake_service, free_port
from tests.service.running import eventually, fake_app, post, until
from tests.service.test_metrics import value


async def test_probes_answer_until_the_last_request_has_been_answered(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    with fake_service(log, seconds=1.0, drain_delay_ms=100, probe_port=port) as service:
        assert f"probes at http://127.0.0.1:{port}; loading" in log.read_text()
        async with (
            httpx2.AsyncClient(base_url=service.url, timeout=30.0) as client,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as probes,
        ):
            statuses = [(await probes.get(path)).status_code for path in ("/livez", "/readyz", "/startupz", "/docs")]
            assert statuses == [200, 200, 200, 404]
            assert (await post(probes)).status_code == 404, "nothing is judged here"

            async def under_way() -> bool:
                return "edit_rrm_http_requests_in_flight 1.0" in (await probes.get("/metrics")).text

            judged = asyncio.ensure_future(post(client))
            await eventually(under_way)
            service.signal(signal.SIGTERM)

            async def stopping() -> bool:
                reply = await probes.get("/readyz")
                return reply.status_code == 503 and reply.json()["status"] == "stopping"

            await eventually(stopping)
            assert (await probes.get("/livez")).status_code == 200, "it lives to its last answer"
            assert (await judged).status_code == 200
        assert await asyncio.to_thread(service.wait) == 0


async def test_metrics_that_ask_for_a_key_are_not_given_away_at_the_other_port() -> None:
    for needed, status in ((True, 404), (False, 200)):
        app = fake_app(FakeEngine(), api_key_hashes=(hash_key("secret"),), metrics_need_key=needed)
        probes = httpx2.ASGITransport(app=probe_app(app.state.service))
        async with httpx2.AsyncClient(transport=probes, base_url="http://probes") as prober:
            assert (await prober.get("/metrics")).status_code == status
            assert (await prober.get("/livez")).status_code == 200, "probes have no key"
            assert (await prober.get("/startupz")).status_code == 503, "nothing has been loaded yet"


async def test_a_dead_engine_is_seen_in_the_metrics_at_the_probes_own_port() -> None:
    engine = FakeEngine()
    app = fake_app(engine, engine_check_ms=10)
    life = app.state.service.lifecycle
    probes = httpx2.ASGITransport(app=probe_app(app.state.service))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=probes, base_url="http://probes") as prober,
    ):

        async def phases() -> dict[str, float | None]:
            text = (await prober.get("/metrics")).text
            return {phase.value: value(text, "edit_rrm_phase", phase=phase.value) for phase in Phase}

        await until(lambda: life.phase is Phase.READY)
        alive = await phases()
        engine.dead = True
        await until(lambda: life.phase is Phase.DEAD)
        dead = await phases()
        assert (await prober.get("/livez")).status_code == 503
    assert alive == dict.fromkeys(alive, 0.0) | {"ready": 1.0}
    assert dead == dict.fromkeys(alive, 0.0) | {"dead": 1.0}
