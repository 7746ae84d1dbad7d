"""A remote reward URL as OpenRLHF calls it: all rewards, or an error that says which one is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edit_rrm_service.engines.base import EngineError, Prompt
from tests.fakes.engine import COLLATERAL, GOOD, Answer, FakeEngine, pictures
from tests.service.running import SOURCE, error_of, in_base64, png, running

BLUE, GREEN, BLACK = (in_base64(png(colour)) for colour in ("blue", "green", "black"))
LABEL = {"source": in_base64(SOURCE)}


def judgement(prompt: Prompt) -> Answer:
    match pictures(prompt)[1].pixels.getpixel((0, 0)):
        case (0, 0, 255):
            return GOOD
        case (0, 0, 0):
            return "no idea"
        case (255, 255, 255):
            return EngineError("hiccup")
    return COLLATERAL


def body(*queries: str, labels: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "query": list(queries),
        "prompts": ["make it blue"] * len(queries),
        "labels": [LABEL] * len(queries) if labels is None else labels,
        **more,
    }


async def test_rewards_come_in_the_order_of_the_queries() -> None:
    engine = FakeEngine(judgement=judgement)
    labels = [LABEL, json.dumps(LABEL), {**LABEL, "instruction": "make it green"}]
    async with running(engine) as client:
        reply = await client.post("/get_reward", json=body(BLUE, GREEN, f"data:image/png;base64,{BLUE}", labels=labels))
    assert reply.status_code == 200
    assert reply.json() == {"rewards": [0.95, 0.6, 0.95], "scores": [0.95, 0.6, 0.95], "extra_logs": {}}
    # By a prompt or by the label, an edit has its instruction: two groups.
    assert engine.decompositions == 2


async def test_the_url_says_how() -> None:
    async with running(FakeEngine(probability=lambda prompt: 0.5)) as client:
        reply = await client.post("/get_reward?mode=probe", json=body(BLUE))
        assert reply.json()["rewards"] == [pytest.approx(0.5)]
        refused = await client.post("/get_reward?mode=guess", json=body(BLUE))
        assert refused.status_code == 422
        assert error_of(refused)["message"] == "mode: Input should be 'think' or 'probe'"


@pytest.mark.parametrize(
    ("query", "status", "code", "retryable"),
    [
        (BLACK, 502, "unparsable", False),
        ("", 422, "bad_image", False),
        ("###", 422, "bad_image", False),
        (in_base64(png("white")), 503, "engine_error", True),
    ],
)
async def test_one_reward_that_is_missing_is_an_error(query: str, status: int, code: str, retryable: bool) -> None:
    async with running(FakeEngine(judgement=judgement)) as client:
        reply = await client.post("/get_reward", json=body(BLUE, query))
        assert reply.status_code == status
        error = error_of(reply)
        assert (error["code"], error["retryable"]) == (code, retryable)
        if not retryable:
            assert error["param"] == "query[1]"
            assert error["message"].startswith("query 1 of 2 was not scored, and this protocol cannot leave one out: ")


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"query": []}, "query"),
        ({"query": [BLUE]}, "labels"),
        (body(BLUE, labels=[]), "labels"),
        (body(BLUE, labels=["make it blue"]), "labels[0]"),
        (body(BLUE, labels=[{"instruction": "make it blue"}]), "labels[0]"),
        (body(BLUE, prompts=["a", "b"]), "labels"),
    ],
)
async def test_what_is_no_request_is_told_what_would_be(sent: dict[str, Any], param: str) -> None:
    async with running(FakeEngine()) as client:
        reply = await client.post("/get_reward", json=sent)
        assert reply.status_code == 422
        assert error_of(reply)["param"] == param
