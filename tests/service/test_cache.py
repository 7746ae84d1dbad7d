"""What was measured before is not measured again: for the same question, and for nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edit_rrm_service.engines.base import EngineError
from edit_rrm_service.settings import Settings
from tests.fakes.engine import FakeEngine, written
from tests.fakes.redis_server import redis_server
from tests.service.running import EDITED, png, post, running, until

MEASURED = ("outcome", "score", "reward", "average", "verdicts", "reasoning", "samples", "score_std")


async def test_the_same_question_again_is_answered_from_memory_to_the_last_digit() -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        first, again = [(await post(client)).json() for _ in range(2)]
        text = (await client.get("/metrics")).text
    assert (first["cache"], again["cache"]) == ("miss", "hit")
    assert {name: first[name] for name in MEASURED} == {name: again[name] for name in MEASURED}
    assert first["request_id"] != again["request_id"]
    assert (first["usage"]["engine_calls"], again["usage"]["engine_calls"]) == (2, 0)
    assert len(engine.generated) == 2
    assert 'edit_rrm_cache_requests_total{cache="verification",result="hit",tier="local"} 1.0' in text
    assert 'edit_rrm_outcomes_total{outcome="scored"} 2.0' in text


async def test_equal_edits_of_a_group_are_judged_once() -> None:
    engine = FakeEngine(seconds=0.02)
    async with running(engine) as client:
        body = (await post(client, "/v1/rewards", edited=(EDITED, png("green"), EDITED))).json()
    assert [result["cache"] for result in body["results"]] == ["miss", "miss", "shared"]
    assert len(engine.generated) == 3


@pytest.mark.parametrize("mode", ["think", "probe"])
async def test_one_measurement_serves_every_aggregation(mode: str) -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        bodies = [(await post(client, mode=mode, aggregation=kind)).json() for kind in ("mean", "min", "geometric")]
    assert [body["cache"] for body in bodies] == ["miss", "hit", "hit"]
    assert [body["aggregation"] for body in bodies] == ["mean", "min", "geometric"]


@pytest.mark.parametrize(
    ("fields", "cache"),
    [
        ({"temperature": 0.7}, ["bypass", "bypass"]),
        ({"samples": 2}, ["bypass", "bypass"]),
        ({"temperature": 0.7, "seed": 3}, ["miss", "hit"]),
        ({"mode": "probe", "temperature": 0.7}, ["miss", "hit"]),
    ],
)
async def test_what_was_drawn_at_random_is_drawn_again(fields: dict[str, Any], cache: list[str]) -> None:
    async with running(FakeEngine()) as client:
        assert [(await post(client, **fields)).json()["cache"] for _ in range(2)] == cache


@pytest.mark.parametrize("directive", ["no-cache", "max-age=0, No-Store"])
async def test_who_says_so_has_it_measured_anew(directive: str) -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        await post(client)
        again = (await post(client, headers={"cache-control": directive})).json()
    assert again["cache"] == "bypass"
    assert len(engine.generated) == 3


@pytest.mark.parametrize("failure", [EngineError("the engine stumbled"), written("1. it is", "length"), "no judgement"])
async def test_nothing_negative_is_remembered(failure: Any) -> None:
    engine = FakeEngine(judgement=lambda prompt: failure)
    async with running(engine) as client:
        assert (await post(client)).status_code in (502, 503)
        engine.judgement = FakeEngine().judgement
        assert (await post(client)).json()["cache"] == "miss"


async def test_a_measurement_goes_on_while_anybody_waits_for_it_and_no_longer() -> None:
    engine = FakeEngine(seconds=0.3)
    async with running(engine) as client:
        hasty = [asyncio.ensure_future(post(client, headers={"x-deadline-ms": "450"})) for _ in range(3)]
        patient = asyncio.ensure_future(post(client))
        assert [(await reply).status_code for reply in hasty] == [504] * 3
        assert (await patient).status_code == 200
        assert engine.cancelled == 0
        late = await post(client, edited=png("green"), headers={"x-deadline-ms": "100"})
        await until(lambda: engine.cancelled == 1)
    assert late.status_code == 504
    assert engine.cancelled == 1


async def test_without_memory_everything_is_measured() -> None:
    async with running(FakeEngine(), cache_bytes=0) as client:
        assert [(await post(client)).json()["cache"] for _ in range(2)] == ["miss", "miss"]


async def test_replicas_share_what_they_measured_and_say_how_redis_is(tmp_path: Path) -> None:
    first, second = FakeEngine(seconds=0.1), FakeEngine(seconds=0.1)
    with redis_server(tmp_path) as redis:
        async with running(first, redis_url=redis.url) as one, running(second, redis_url=redis.url) as other:
            replies = await asyncio.gather(*(post(client) for client in (one, other, one, other)))
            assert {reply.status_code for reply in replies} == {200}
            assert len(first.generated) + len(second.generated) == 2
            assert (await one.get("/readyz")).json() == {"status": "ready", "redis": "up"}
            redis.kill()
            assert (await post(one, edited=png("green"))).json()["outcome"] == "scored"
            ready = await one.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["redis"].startswith("down: ")
            assert "edit_rrm_redis_up 0.0" in (await one.get("/metrics")).text
            redis.start()
            for _ in range(500):
                if (await one.get("/readyz")).json()["redis"] == "up":
                    break
                await asyncio.sleep(0.01)
            assert "edit_rrm_redis_up 1.0" in (await one.get("/metrics")).text


async def test_another_judge_shares_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with running(FakeEngine(), redis_url=redis.url) as client:
            await post(client)
        async with running(FakeEngine(supports_probe=False), redis_url=redis.url) as client:
            assert (await post(client)).json()["cache"] == "miss"


def test_a_url_of_something_else_is_refused_and_a_password_is_not_shown() -> None:
    with pytest.raises(ValidationError, match="redis://"):
        Settings(redis_url="http://127.0.0.1:6379")
    assert "sesame" not in repr(Settings(redis_url="redis://:sesame@127.0.0.1"))
