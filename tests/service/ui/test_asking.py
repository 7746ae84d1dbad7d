"""The page asks over HTTP as anybody would, and passes on what the service says."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from edit_rrm.verdicts import Mode, Outcome
from edit_rrm_service.auth import hash_key
from edit_rrm_service.ui.asking import ChosenImage, Question, UnansweredError, identity, judged
from tests.fakes.engine import FakeEngine
from tests.service.running import png, running, until
from tests.service.ui.replies import FOLLOW

SOURCE, EDIT = ChosenImage("source.png", png("red")), ChosenImage("edit.png", png("blue"))
BAD = ChosenImage("notes.txt", b"not a picture")
QUESTION = Question("make the star blue", SOURCE, (EDIT, BAD))


async def test_a_group_is_judged_with_an_outcome_each() -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        reply = await judged(client, QUESTION)
        assert [one.outcome for one in reply.results] == [Outcome.SCORED, Outcome.BAD_IMAGE]
        assert engine.decompositions == 1
        reply = await judged(
            client, Question("make the star blue", SOURCE, (EDIT,), mode=Mode.PROBE, principles=(FOLLOW,))
        )
        assert reply.results[0].mode is Mode.PROBE
        assert reply.principles == (FOLLOW,)
        assert (await identity(client)).name == "fake judge"


async def test_what_the_service_says_is_passed_on() -> None:
    async with running(FakeEngine(), api_key_hashes=(hash_key("key"),)) as client:
        with pytest.raises(UnansweredError, match="wants an API key") as refused:
            await judged(client, QUESTION)
        assert refused.value.detail.code == "unauthorised"
        assert refused.value.detail.request_id
        assert (await judged(client, QUESTION, "key")).results[0].outcome is Outcome.SCORED
        with pytest.raises(UnansweredError, match="wants an API key"):
            await identity(client, "another")
    engine = FakeEngine()
    async with running(engine) as client:
        with pytest.raises(UnansweredError) as refused:
            await judged(client, Question("make the star blue", BAD, (EDIT,)))
        assert refused.value.detail.code == "bad_image"
        assert refused.value.detail.param == "source"


async def test_nobody_there_and_somebody_else_are_said() -> None:
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9") as http:
        with pytest.raises(UnansweredError, match=r"127\.0\.0\.1:9 cannot be reached .*is the service running") as gone:
            await identity(http)
        assert gone.value.detail.retryable
    for status, content in ((200, b"<html>"), (500, b"oops"), (200, b'{"a": 1}')):
        other = httpx2.MockTransport(lambda _, s=status, c=content: httpx2.Response(s, content=c))
        async with httpx2.AsyncClient(transport=other, base_url="http://other") as http:
            with pytest.raises(UnansweredError, match=f"status {status} and something else than Edit-RRM's"):
                await judged(http, QUESTION)


async def test_giving_up_reaches_the_engine() -> None:
    engine = FakeEngine(seconds=30.0)
    async with running(engine) as client:
        asking = asyncio.ensure_future(judged(client, QUESTION))
        await until(lambda: bool(engine.generated))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: engine.cancelled > 0)
