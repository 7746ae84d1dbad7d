"""X-Deadline-Ms: what is not done by then is `timed_out`, the work stops, and nothing hangs."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from edit_rrm_service.engines.base import Prompt
from tests.fakes.engine import FakeEngine, pictures
from tests.service.running import EDITED, error_of, listening, png, post, running, until

PRINCIPLE = {"question": "Is the star blue?", "category": "instruction_following"}


@pytest.mark.parametrize("mode", ["think", "probe"])
async def test_one_that_passes_is_504_and_stops_the_work(mode: str) -> None:
    engine = FakeEngine(seconds=30.0)
    async with running(engine) as client:
        reply = await post(client, mode=mode, headers={"x-deadline-ms": "150"})
        await asyncio.sleep(0)
        text = (await client.get("/metrics")).text
    assert reply.status_code == 504
    assert error_of(reply)["code"] == "timed_out"
    assert error_of(reply)["retryable"] is True
    assert engine.cancelled >= 1
    assert 'edit_rrm_outcomes_total{outcome="timed_out"} 1.0' in text


@pytest.mark.parametrize(("path", "edited"), [("/v1/decompose", None), ("/v1/verify", EDITED)])
async def test_every_endpoint_has_one(path: str, edited: bytes | None) -> None:
    engine = FakeEngine(seconds=30.0)
    headers = {"x-deadline-ms": "100"}
    async with running(engine) as client:
        if edited is None:
            reply = await post(client, path, edited=None, headers=headers)
        else:
            reply = await post(client, path, principles=[PRINCIPLE], headers=headers)
    assert reply.status_code == 504
    assert error_of(reply)["code"] == "timed_out"


async def test_the_slow_edit_of_a_group_costs_itself_alone() -> None:
    def seconds(prompt: Prompt) -> float:
        return 30.0 if len(pictures(prompt)) == 2 and pictures(prompt)[1].pixels.width == 64 else 0.0

    engine = FakeEngine(seconds=seconds)
    edits = (png("blue"), png("blue", (64, 64)), png("green"))
    async with running(engine) as client:
        reply = await post(client, "/v1/rewards", edited=edits, headers={"x-deadline-ms": "1000"})
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert [result["outcome"] for result in results] == ["scored", "timed_out", "scored"]
    assert (results[1]["score"], results[1]["reward"], results[1]["error"]["retryable"]) == (None, None, True)
    assert engine.cancelled == 1


async def test_a_group_whose_decomposition_is_late_is_late_as_a_whole() -> None:
    async with running(FakeEngine(seconds=30.0)) as client:
        reply = await post(client, "/v1/rewards", edited=(EDITED, b"no image"), headers={"x-deadline-ms": "100"})
    assert reply.status_code == 200
    assert [result["outcome"] for result in reply.json()["results"]] == ["timed_out", "bad_image"]


async def test_one_callers_deadline_does_not_stop_what_another_waits_for() -> None:
    engine = FakeEngine(seconds=lambda prompt: 1.2 if len(pictures(prompt)) == 1 else 0.0)
    async with running(engine) as client:
        hasty = asyncio.ensure_future(post(client, headers={"x-deadline-ms": "900"}))
        await until(lambda: engine.decompositions == 1)
        patient = asyncio.ensure_future(post(client))
        assert ((await hasty).status_code, (await patient).status_code) == (504, 200)
    assert engine.decompositions == 1


@pytest.mark.parametrize("path", ["/v1/decompose", "/v1/reward"])
async def test_an_upload_that_stalls_ends_with_it(path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n"
    async with listening(FakeEngine()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
        writer.write(head.encode() + b"X-Deadline-Ms: 200\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.close()
        await writer.wait_closed()
    assert b" 504 " in answer


async def test_the_services_own_deadline_holds_where_none_is_sent_or_a_longer_one() -> None:
    async with running(FakeEngine(seconds=30.0), default_deadline_ms=100) as client:
        began = time.monotonic()
        for headers in ({}, {"x-deadline-ms": "60000"}):
            assert (await post(client, headers=headers)).status_code == 504
    assert time.monotonic() - began < 10.0


async def test_one_that_is_long_enough_changes_nothing() -> None:
    async with running(FakeEngine()) as client:
        assert (await post(client, headers={"x-deadline-ms": "60000"})).json()["outcome"] == "scored"


@pytest.mark.parametrize("value", ["soon", "-5", "0", "1e3", "99999999999", ""])
async def test_one_that_is_no_number_of_milliseconds_is_named(value: str) -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        for path in ("/v1/reward", "/v1/decompose"):
            edited = None if path == "/v1/decompose" else EDITED
            reply = await post(client, path, edited=edited, headers={"x-deadline-ms": value})
            assert reply.status_code == 422
            assert error_of(reply)["param"] == "x-deadline-ms"
    assert engine.generated == []
