"""One decomposition per (instruction, source), however many edits and requests ask for it."""

from __future__ import annotations

import asyncio

import pytest

from edit_rrm_service.engines.base import EngineError
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, png, post, running


async def test_edits_of_one_source_share_one_decomposition_however_they_come() -> None:
    engine = FakeEngine(seconds=0.02)
    async with running(engine) as client:
        replies = await asyncio.gather(*(post(client, edited=png("blue", (64 + n, 64))) for n in range(8)))
        later = await post(client)
        assert engine.decompositions == 1
        await post(client, instruction="something else")
        await post(client, source=png("green"))
    assert {reply.status_code for reply in (*replies, later)} == {200}
    assert engine.decompositions == 3
    calls = sorted(reply.json()["usage"]["engine_calls"] for reply in replies)
    assert calls == [1] * 7 + [2]


async def test_principles_that_were_sent_are_used_as_they_are() -> None:
    engine = FakeEngine(judgement=lambda prompt: "verdicts: 1\n<score>8</score>")
    async with running(engine) as client:
        principle = {"question": "Is it bluer?", "category": "instruction_following"}
        body = (await post(client, principles=[principle])).json()
    assert engine.decompositions == 0
    assert [verdict["principle"] for verdict in body["verdicts"]] == [principle]


@pytest.mark.parametrize("edits", [1, 24])
async def test_a_group_costs_one_decomposition_however_large(edits: int) -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        different = tuple(png("blue", (64 + index, 64)) for index in range(edits))
        body = (await post(client, "/v1/rewards", edited=different)).json()
    assert engine.decompositions == 1
    assert body["usage"]["engine_calls"] == 1 + edits


async def test_endpoints_share_it_too_and_it_is_of_pixels_and_not_of_files() -> None:
    engine = FakeEngine(seconds=0.05)
    async with running(engine) as client:
        await asyncio.gather(
            post(client, "/v1/decompose", edited=None),
            post(client, "/v1/reward"),
            post(client, "/v1/rewards", mode="probe", edited=(EDITED, EDITED)),
            post(client, source=png("red", mode="RGBA")),
            post(client, instruction="  make the star blue\n"),
        )
        assert engine.decompositions == 1
        await post(client, source=png("red", (97, 64)))
    assert engine.decompositions == 2


async def test_one_that_failed_is_tried_again() -> None:
    engine = FakeEngine(decomposition=EngineError("the engine stumbled"), seconds=0.05)
    async with running(engine) as client:
        failed = await asyncio.gather(*(post(client) for _ in range(4)))
        assert engine.decompositions == 1
        engine.decomposition = FakeEngine().decomposition
        assert (await post(client)).status_code == 200
    assert [reply.status_code for reply in failed] == [503] * 4
    assert engine.decompositions == 2
