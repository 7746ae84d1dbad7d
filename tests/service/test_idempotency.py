"""A request that is sent twice under one Idempotency-Key is done once, and answered twice alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from edit_rrm.card import JudgeCard
from edit_rrm_service.auth import hash_key
from edit_rrm_service.engines.base import EngineError, Prompt
from tests.fakes.engine import GOOD, FakeEngine, pictures
from tests.fakes.redis_server import redis_server
from tests.service.running import EDITED, error_of, listening, png, post, running, until

KEY = {"idempotency-key": "7e0c5f8a"}
SAMPLED: dict[str, Any] = {"temperature": 0.7}
"""Judged anew every time it is asked, so that what is replayed is told from what is remembered."""
PRINCIPLE = {"question": "Is it blue?", "category": "image_quality"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/reward", SAMPLED),
        ("/v1/rewards", SAMPLED),
        ("/v1/verify", {**SAMPLED, "principles": [PRINCIPLE]}),
        ("/v1/decompose", {}),
    ],
)
async def test_a_repeat_is_answered_with_what_was_answered_before(path: str, fields: dict[str, Any]) -> None:
    judgement = "1. it is: yes\nverdicts: 1\n<score>8</score>" if path == "/v1/verify" else GOOD
    engine = FakeEngine(judgement=lambda prompt: judgement)
    edited = None if path == "/v1/decompose" else EDITED
    async with running(engine) as client:
        first, again = [await post(client, path, edited=edited, headers=KEY, **fields) for _ in range(2)]
        asked = len(engine.generated)
        other = await post(client, path, edited=edited, headers={"idempotency-key": "another"}, **fields)
    assert [reply.status_code for reply in (first, again, other)] == [200] * 3
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert asked == (1 if path in ("/v1/verify", "/v1/decompose") else 2)
    assert other.json()["request_id"] != first.json()["request_id"]


async def test_tries_that_come_while_the_first_is_under_way_wait_for_it() -> None:
    engine = FakeEngine(seconds=0.1)
    async with running(engine) as client:
        replies = await asyncio.gather(*(post(client, headers=KEY, **SAMPLED) for _ in range(6)))
    assert len({reply.content for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 5
    assert len(engine.generated) == 2


@pytest.mark.parametrize(
    "other", [{"instruction": "make it red"}, {"edited": png("green")}, {"source": png("gray")}, {"mode": "probe"}]
)
async def test_a_key_that_comes_with_another_request_is_refused(other: dict[str, Any]) -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        assert (await post(client, headers=KEY)).status_code == 200
        reply = await post(client, **{"headers": KEY, **other})
        elsewhere = await post(client, "/v1/rewards", headers=KEY)
    for refused in (reply, elsewhere):
        assert (refused.status_code, error_of(refused)["code"]) == (422, "idempotency_key_reused")
        assert error_of(refused)["param"] == "idempotency-key"
        assert error_of(refused)["retryable"] is False


async def test_keys_are_each_callers_own() -> None:
    hashes = (hash_key("a"), hash_key("b"))
    async with running(FakeEngine(), api_key_hashes=hashes) as client:
        replies = [
            await post(client, instruction=f"make it {key}", headers={**KEY, "authorization": f"Bearer {key}"})
            for key in "ab"
        ]
    assert [reply.status_code for reply in replies] == [200, 200]


async def test_what_failed_is_tried_again() -> None:
    engine = FakeEngine(judgement=lambda prompt: EngineError("the engine stumbled"))
    async with running(engine) as client:
        assert (await post(client, headers=KEY)).status_code == 503
        engine.judgement = lambda prompt: GOOD
        reply = await post(client, headers=KEY)
    assert reply.status_code == 200
    assert "idempotent-replayed" not in reply.headers


async def test_a_group_that_may_yet_be_better_is_not_final() -> None:
    def judgement(prompt: Prompt) -> Any:
        return EngineError("the engine stumbled") if pictures(prompt)[1].pixels.width == 65 else GOOD

    engine = FakeEngine(judgement=judgement)
    edits = (EDITED, png("blue", (65, 64)), b"no image")
    async with running(engine) as client:
        first = await post(client, "/v1/rewards", edited=edits, headers=KEY)
        engine.judgement = lambda prompt: GOOD
        second = await post(client, "/v1/rewards", edited=edits, headers=KEY)
        third = await post(client, "/v1/rewards", edited=edits, headers=KEY)
    outcomes = [[result["outcome"] for result in reply.json()["results"]] for reply in (first, second, third)]
    assert outcomes == [["scored", "engine_error", "bad_image"]] + [["scored", "scored", "bad_image"]] * 2
    assert ["idempotent-replayed" in reply.headers for reply in (first, second, third)] == [False, False, True]


async def test_a_first_try_that_hangs_up_leaves_its_work_to_the_second() -> None:
    engine = FakeEngine(seconds=0.4)
    async with listening(engine) as url, httpx2.AsyncClient(base_url=url) as staying:
        async with httpx2.AsyncClient(base_url=url) as leaving:
            first = asyncio.ensure_future(post(leaving, headers=KEY, **SAMPLED))
            await until(lambda: len(engine.generated) == 1)
            second = asyncio.ensure_future(post(staying, headers=KEY, **SAMPLED))
            await asyncio.sleep(0.1)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        reply = await second
    assert (reply.status_code, engine.cancelled, len(engine.generated)) == (200, 0, 2)
    assert reply.headers["idempotent-replayed"] == "true"


async def test_a_second_try_waits_no_longer_than_its_own_deadline() -> None:
    async with running(FakeEngine(seconds=1.0)) as client:
        first = asyncio.ensure_future(post(client, headers=KEY))
        await asyncio.sleep(0.05)
        second = await post(client, headers={**KEY, "x-deadline-ms": "100"})
        assert (second.status_code, error_of(second)["retryable"]) == (504, True)
        assert (await first).status_code == 200


async def test_replicas_know_each_others_answers(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with (
            running(FakeEngine(seconds=0.1), redis_url=redis.url) as one,
            running(FakeEngine(seconds=0.1), redis_url=redis.url) as other,
        ):
            replies = await asyncio.gather(*(post(client, headers=KEY, **SAMPLED) for client in (one, other, one)))
            wrong = await post(other, headers=KEY, instruction="another", **SAMPLED)
    assert len({reply.content for reply in replies}) == 1
    assert wrong.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256, "na\u00efve", "a\tb"])
async def test_a_key_that_is_none_is_named(key: str) -> None:
    async with running(FakeEngine()) as client:
        reply = await post(client, headers={"idempotency-key": key.encode("latin-1")})  # type: ignore[dict-item]  # httpx2 takes bytes too
    assert (reply.status_code, error_of(reply)["param"]) == (422, "idempotency-key")


@pytest.mark.parametrize("path", ["/v1/reward", "/v1/rewards", "/v1/decompose"])
async def test_a_pinned_judge_is_the_one_that_judges_or_nobody_does(path: str) -> None:
    engine = FakeEngine()
    edited = None if path == "/v1/decompose" else EDITED
    async with running(engine) as client:
        identity = (await client.get("/v1/identity")).json()["identity"]
        right = await post(client, path, edited=edited, headers={"x-expect-identity": identity})
        asked = len(engine.generated)
        wrong = await post(client, path, edited=edited, instruction="new", headers={"x-expect-identity": "f" * 64})
    assert right.status_code == 200
    assert (wrong.status_code, error_of(wrong)["code"], error_of(wrong)["retryable"]) == (
        409,
        "identity_mismatch",
        False,
    )
    assert identity in error_of(wrong)["message"]
    assert len(engine.generated) == asked


async def test_what_another_judge_answered_is_not_replayed(tmp_path: Path) -> None:
    old, new = JudgeCard(name="old"), JudgeCard(name="new", label_mass_floor=0.4)
    identities = []
    with redis_server(tmp_path) as redis:
        for card in (old, new):
            async with running(FakeEngine(), card=card, redis_url=redis.url) as client:
                reply = await post(client, headers=KEY)
                assert "idempotent-replayed" not in reply.headers
                identities.append(reply.json()["identity"])
                assert identities[-1] == (await client.get("/v1/identity")).json()["identity"]
    assert len(set(identities)) == 2
