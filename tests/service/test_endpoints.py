"""Every endpoint answers what the contract says, to either kind of body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from edit_rrm_service.engines.base import Prompt
from tests.fakes.engine import COLLATERAL, GOOD, FakeEngine, pictures
from tests.service.running import EDITED, INSTRUCTION, SOURCE, in_base64, png, post, running

PRINCIPLE = {"question": "Is the star blue?", "category": "instruction_following"}


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine()) as ready:
        yield ready


async def test_a_reward_is_flat_and_complete(client: httpx2.AsyncClient) -> None:
    reply = await post(client, instruction="make it bluer", headers={"x-request-id": "step-7"})
    assert reply.status_code == 200
    body = reply.json()
    assert (body["outcome"], body["score"], body["reward"], body["average"]) == ("scored", 9.5, 0.95, 1.0)
    assert (body["aggregation"], body["mode"], body["samples"], body["score_std"]) == ("model", "think", 1, None)
    assert [verdict["rationale"] for verdict in body["verdicts"]] == ["it is blue", "all there", "sharp"]
    assert body["verdicts"][1]["principle"]["category"] == "feature_preservation"
    assert body["request_id"] == "step-7"
    assert body["error"] is None
    assert body["usage"] == {"prompt_tokens": 200, "cached_tokens": 120, "completion_tokens": 40, "engine_calls": 2}
    assert {"decode", "decompose", "verify", "total"} <= set(body["timing_ms"])


async def test_form_fields_json_part_and_json_body_give_the_same_answer(client: httpx2.AsyncClient) -> None:
    files = {"source": ("a.png", SOURCE), "edited": ("b.png", EDITED)}
    replies = [
        await post(client),
        await client.post("/v1/reward", data={"instruction": INSTRUCTION}, files=files),
        await client.post(
            "/v1/reward",
            json={"instruction": INSTRUCTION, "source": in_base64(SOURCE), "edited": in_base64(EDITED)},
        ),
    ]

    def measured(reply: httpx2.Response) -> dict[str, Any]:
        return {key: reply.json()[key] for key in ("outcome", "score", "verdicts", "reasoning", "identity")}

    assert [reply.status_code for reply in replies] == [200] * 3
    assert measured(replies[0]) == measured(replies[1]) == measured(replies[2])


async def test_form_fields_take_principles_as_json(client: httpx2.AsyncClient) -> None:
    engine = FakeEngine(judgement=lambda prompt: "verdicts: 1\n<score>8</score>")
    async with running(engine) as own:
        reply = await own.post(
            "/v1/reward",
            data={
                "instruction": INSTRUCTION,
                "principles": '[{"question": "Is it?", "category": "image_quality"}]',
                "samples": "2",
            },
            files={"source": ("a.png", SOURCE), "edited": ("b.png", EDITED)},
        )
    assert reply.json()["samples"] == 2
    assert engine.decompositions == 0


async def test_a_group_is_answered_in_order_from_one_decomposition() -> None:
    def judgement(prompt: Prompt) -> str:
        edited = pictures(prompt)[1].pixels
        return GOOD if edited.width == edited.height else COLLATERAL

    edits = tuple(png("blue", size) for size in ((40, 40), (50, 40), (60, 40)))
    engine = FakeEngine(judgement=judgement)
    async with running(engine) as client:
        body = (await post(client, "/v1/rewards", edited=edits)).json()
    assert [result["score"] for result in body["results"]] == [9.5, 6.0, 6.0]
    assert [principle["question"] for principle in body["principles"]] == [
        "Is the star blue?",
        "Is the rest as it was?",
        "Is it sharp?",
    ]
    assert engine.decompositions == 1
    assert body["usage"]["engine_calls"] == 4


async def test_decompose_answers_principles_and_takes_no_edit(client: httpx2.AsyncClient) -> None:
    reply = await post(client, "/v1/decompose", edited=None)
    assert [principle["category"] for principle in reply.json()["principles"]] == [
        "instruction_following",
        "feature_preservation",
        "image_quality",
    ]
    assert (await post(client, "/v1/decompose")).status_code == 422


async def test_verify_answers_verdicts_without_a_score() -> None:
    async with running(FakeEngine(judgement=lambda prompt: "1. it is: yes\nverdicts: 1\n<score>2</score>")) as client:
        body = (await post(client, "/v1/verify", principles=[PRINCIPLE])).json()
    assert body["verdicts"][0]["passed"] is True
    assert body["verdicts"][0]["rationale"] == "it is"
    assert "score" not in body


async def test_a_probe_has_probabilities_and_no_reasoning() -> None:
    engine = FakeEngine(probability=lambda prompt: 0.25, label_mass=0.8)
    async with running(engine) as client:
        body = (await post(client, mode="probe")).json()
    assert body["aggregation"] == "geometric"
    assert body["score"] == pytest.approx(2.5)
    assert [verdict["passed"] for verdict in body["verdicts"]] == [False] * 3
    assert body["verdicts"][0]["probability"] == pytest.approx(0.25)
    assert body["verdicts"][0]["label_mass"] == pytest.approx(0.8)
    assert body["reasoning"] is None
    assert len(engine.probed) == 3


async def test_repeats_give_a_mean_a_spread_and_shares() -> None:
    answers = iter([GOOD, COLLATERAL, GOOD, GOOD])
    engine = FakeEngine(judgement=lambda prompt: next(answers))
    async with running(engine) as client:
        body = (await post(client, samples=4, seed=7)).json()
    assert body["score"] == pytest.approx((9.5 * 3 + 6) / 4)
    assert body["score_std"] == pytest.approx(1.75)
    assert [verdict["probability"] for verdict in body["verdicts"]] == [1.0, 0.75, 1.0]
    thoughts = engine.samplings[1:]
    assert [sampling.seed for sampling in thoughts] == [7, 8, 9, 10]
    assert all(sampling.temperature > 0 for sampling in thoughts)


@pytest.mark.parametrize(
    ("how", "score"), [("mean", 20 / 3), ("weighted", 6.5), ("geometric", 0.0), ("min", 0.0), ("product", 0.0)]
)
async def test_the_aggregation_asked_for_is_used_and_named(how: str, score: float) -> None:
    async with running(FakeEngine(judgement=lambda prompt: COLLATERAL)) as client:
        body = (await post(client, aggregation=how)).json()
    assert body["aggregation"] == how
    assert body["score"] == pytest.approx(score)


async def test_identity_is_what_every_answer_carries(client: httpx2.AsyncClient) -> None:
    identity = (await client.get("/v1/identity")).json()
    assert len(identity["identity"]) == 64
    assert identity["facts"]["engine"] == "fake"
    assert (await post(client)).json()["identity"] == identity["identity"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_probes_answer(client: httpx2.AsyncClient, path: str) -> None:
    reply = await client.get(path)
    assert reply.status_code == 200
    assert reply.json()["status"] in ("alive", "ready")


@pytest.mark.parametrize("path", ["/v1/decompose", "/v1/verify", "/v1/reward", "/v1/rewards"])
@pytest.mark.parametrize("mode", ["think", "probe"])
async def test_every_endpoint_answers_both_kinds_of_body_alike(path: str, mode: str) -> None:
    engine = FakeEngine(judgement=lambda prompt: "1. it is: yes\nverdicts: 1\n<score>8</score>")
    fields: dict[str, Any] = {"principles": [PRINCIPLE], "mode": mode}
    images: dict[str, Any] = {"source": in_base64(SOURCE), "edited": in_base64(EDITED)}
    edited: tuple[bytes, ...] = (EDITED,)
    if path == "/v1/decompose":
        fields, edited, images = {}, (), {"source": in_base64(SOURCE)}
    if path == "/v1/rewards":
        edited, images["edited"] = (EDITED, SOURCE), [in_base64(EDITED), "data:image/png;base64," + in_base64(SOURCE)]
    async with running(engine) as own:
        form = await post(own, path, edited=edited, **fields)
        as_json = await own.post(path, json={"instruction": INSTRUCTION, **fields, **images})
    assert form.status_code == as_json.status_code == 200
    replies = [form.json(), as_json.json()]
    for reply in replies:
        for result in (reply, *reply.get("results", ())):
            for name in ("request_id", "timing_ms", "usage", "cache"):
                result.pop(name, None)
    assert replies[0] == replies[1]
