"""UniRL's trainer gets rewards of edits, an error for every sample that has none, and never a number for those."""

from __future__ import annotations

import json

import httpx2
import pytest

from edit_rrm_service.engines.base import EngineError, Prompt
from tests.fakes.engine import COLLATERAL, GOOD, Answer, FakeEngine, pictures, words
from tests.service.compatibility.unirl_client import Sample, compute_rewards, payload
from tests.service.running import SOURCE, error_of, png, running

BLUE, GREEN = png("blue"), png("green")


def judgement(prompt: Prompt) -> Answer:
    """Blue edits are good, green ones are not, and of black ones it writes nothing that can be read."""
    match pictures(prompt)[1].pixels.getpixel((0, 0)):
        case (0, 0, 255):
            return GOOD
        case (0, 0, 0):
            return "no idea"
    return COLLATERAL


async def test_a_step_of_several_groups_comes_back_in_order() -> None:
    engine = FakeEngine(judgement=judgement)
    samples = [Sample("make it blue", SOURCE, BLUE), Sample("make it green", SOURCE, BLUE)]
    samples += [Sample("make it blue", SOURCE, GREEN), Sample("make it green", BLUE, GREEN)]
    async with running(engine) as client:
        health = await client.get("/health")
        assert health.status_code == 200
        assert {"edit_rrm", "edit_rrm_probe"} <= set(health.json()["rewards"])
        assert (await client.get("/rewards")).json() == {"rewards": ["edit_rrm", "edit_rrm_probe"]}
        rewards, successes, errors = await compute_rewards(client, samples)
    assert rewards == [0.95, 0.95, 0.6, 0.6]
    assert successes == [True] * 4
    assert errors == [None] * 4
    # Two edits share one instruction and source, and with that its decomposition.
    assert engine.decompositions == 3


async def test_groups_larger_than_one_request_of_ours_may_be() -> None:
    engine = FakeEngine(judgement=judgement)
    async with running(engine, max_edits=4) as client:
        samples = [Sample("make it blue", SOURCE, png("blue", (96, 64 + index))) for index in range(9)]
        rewards, successes, _ = await compute_rewards(client, samples)
    assert rewards == [0.95] * 9
    assert all(successes)
    assert engine.decompositions == 1


async def test_think_and_probe_are_two_rewards_of_one_edit() -> None:
    engine = FakeEngine(probability=lambda prompt: 0.5)
    async with running(engine) as client:
        body = payload([Sample("make it blue", SOURCE, BLUE)], ["edit_rrm", "edit_rrm_probe"])
        answer = (await client.post("/score", json=body)).json()
        assert answer["results"] == [
            {"edit_rrm": {"edit_rrm": 0.95}, "edit_rrm_probe": {"edit_rrm_probe": pytest.approx(0.5)}}
        ]
    async with running(FakeEngine(supports_probe=False)) as client:
        assert (await client.get("/rewards")).json() == {"rewards": ["edit_rrm"]}
        _, successes, errors = await compute_rewards(
            client, [Sample("make it blue", SOURCE, BLUE)], ["edit_rrm", "edit_rrm_probe"]
        )
        assert successes == [False]
        assert errors == ["edit_rrm_probe: unknown_reward: there is no reward 'edit_rrm_probe' here, but edit_rrm"]


async def test_what_is_wrong_with_a_sample_costs_that_sample() -> None:
    async with running(FakeEngine(judgement=judgement)) as client:
        rewards, successes, errors = await compute_rewards(
            client,
            [
                Sample("make it blue", SOURCE, BLUE),
                Sample("make it blue", None, BLUE),
                Sample("make it blue", SOURCE, b"no image"),
                Sample("make it blue", b"no image", BLUE),
                Sample("make it blue", SOURCE, png("black")),
                Sample(" ", SOURCE, BLUE),
            ],
        )
        assert rewards[0] == 0.95
        assert successes == [True, False, False, False, False, False]
        told = [error or "" for error in errors]
        assert "there is no source image" in told[1]
        assert "bad_image" in told[2]
        assert "bad_image" in told[3]
        assert "unparsable" in told[4]
        assert "invalid_request: instruction" in told[5]

        body = payload([Sample("x", SOURCE, BLUE), Sample("x", SOURCE, BLUE)], ["edit_rrm"])
        body["requests"][0]["history"] = []
        body["requests"][1]["history"][1]["image_b64"] = None
        answer = (await client.post("/score", json=body)).json()
        assert answer["results"] == [{}, {}]
        assert all("the last turn of the history has no image" in error["edit_rrm"] for error in answer["errors"])


async def test_a_failure_that_passes_is_asked_for_again_and_nothing_is_measured_twice() -> None:
    broken = [True]

    def flaky(prompt: Prompt) -> Answer:
        if pictures(prompt)[1].pixels.getpixel((0, 0)) == (0, 128, 0) and broken:
            broken.pop()
            return EngineError("hiccup")
        return judgement(prompt)

    engine = FakeEngine(judgement=flaky)
    samples = [Sample("make it blue", SOURCE, BLUE), Sample("make it blue", SOURCE, GREEN)]
    async with running(engine) as client:
        reply = await client.post("/score", json=payload(samples, ["edit_rrm"]))
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) >= 1
        error = error_of(reply)
        assert error["retryable"]
        assert error["message"].startswith("1 of 2 edits were not scored, for a reason that passes: ")
        rewards, successes, _ = await compute_rewards(client, samples)
    assert rewards == [0.95, 0.6]
    assert all(successes)
    judged = [words(prompt) for prompt in engine.generated if len(pictures(prompt)) == 2]
    assert len(judged) == 3


async def test_no_room_and_no_judge_are_said_with_their_status() -> None:
    async with running(FakeEngine(seconds=0.2), max_queued_work=1, max_running=1) as client:
        many = [Sample(f"make it blue {index}", SOURCE, BLUE) for index in range(6)]
        reply = await client.post("/score", json=payload(many, ["edit_rrm"]))
        assert reply.status_code == 429
        assert error_of(reply)["code"] == "overloaded"
    async with running(FakeEngine(seconds=5.0, start_error=None), ready=False) as client:
        # Not ready yet: a trainer that waits for /health waits.
        statuses = {(await client.get("/health")).status_code}
        assert statuses <= {200, 503}


async def test_another_judge_than_the_expected_one_judges_nothing() -> None:
    engine = FakeEngine(judgement=judgement)
    async with running(engine) as client:
        here = (await client.get("/v1/identity")).json()["identity"]
        one = [Sample("make it blue", SOURCE, BLUE)]
        rewards, _, _ = await compute_rewards(client, one, scorer_version=here)
        assert rewards == [0.95]
        engine.generated.clear()
        with pytest.raises(ValueError, match="scorer_version"):
            await compute_rewards(client, one, scorer_version="another")
        answer = (await client.post("/score", json=payload(one, ["edit_rrm"], "another"))).json()
        assert answer["errors"][0]["edit_rrm"].startswith("identity_mismatch: scorer_version 'another' is expected")
        assert engine.generated == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"requests": 5}', 422),
        (b'{"requests": [{"history": [], "required_rewards": []}]}', 422),
    ],
)
async def test_bodies_that_are_none(content: bytes, status: int) -> None:
    async with running(FakeEngine()) as client:
        reply = await client.post("/score", content=content)
        assert reply.status_code == status
        assert error_of(reply)["message"]


async def test_an_empty_step_is_answered_and_a_monstrous_one_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(FakeEngine()) as client:
        assert (await client.post("/score", json={"requests": []})).json()["results"] == []
        item = payload([Sample("x", SOURCE, BLUE)], ["edit_rrm"])["requests"][0]
        reply = await client.post("/score", json={"requests": [item] * 1_025})
        assert reply.status_code == 422
        assert error_of(reply)["param"] == "requests"


async def test_a_key_goes_in_the_url_of_a_trainer_that_takes_only_a_url() -> None:
    from edit_rrm_service.auth import hash_key

    async with running(FakeEngine(judgement=judgement), api_key_hashes=(hash_key("secret"),)) as client:
        one = payload([Sample("make it blue", SOURCE, BLUE)], ["edit_rrm"])
        assert (await client.post("/score", json=one)).status_code == 401
        # What HTTP libraries make of http://trainer:secret@host.
        reply = await client.post("/score", json=one, auth=httpx2.BasicAuth("trainer", "secret"))
        assert reply.json()["results"] == [{"edit_rrm": {"edit_rrm": 0.95}}]
        assert (await client.post("/score", json=one, auth=httpx2.BasicAuth("secret", "wrong"))).status_code == 401


async def test_names_that_are_no_text_are_refused_and_break_nothing() -> None:
    async with running(FakeEngine()) as client:
        item = payload([Sample("x", SOURCE, BLUE)], ["edit_rrm"])["requests"][0]
        for name in ("\ud800", "x" * 5_000, {"deep": [1]}):
            reply = await client.post(
                "/score",
                content=json.dumps({"requests": [item | {"request_id": name}]}),
                headers={"content-type": "application/json"},
            )
            assert reply.status_code == 422
            assert "request_id" in error_of(reply)["param"]
