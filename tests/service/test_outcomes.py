"""The failure contract: a score is measured or absent, and one bad edit costs that edit alone."""

from __future__ import annotations

import pytest

from edit_rrm_service.engines.base import EngineError, Prompt
from tests.fakes.engine import GOOD, PRINCIPLES, Answer, FakeEngine, pictures, words, written
from tests.service.running import EDITED, error_of, eventually, png, post, running

BAD_ANSWERS: list[tuple[str, Answer, int]] = [
    ("unparsable", "It looks great, 10 out of 10!", 502),
    ("unparsable", "verdicts: 1 1\n<score>9</score>", 502),
    ("unparsable", "verdicts: 1 1 1\n<score>11</score>", 502),
    ("truncated", written(GOOD, "length"), 502),
    ("refused", written("I'd rather not.", "refused"), 502),
    ("engine_error", EngineError("the engine stumbled"), 503),
]


@pytest.mark.parametrize(("outcome", "answer", "status"), BAD_ANSWERS)
async def test_what_was_not_measured_is_an_error_status(outcome: str, answer: Answer, status: int) -> None:
    async with running(FakeEngine(judgement=lambda prompt: answer)) as client:
        reply = await post(client)
        text = (await client.get("/metrics")).text
    assert reply.status_code == status
    assert error_of(reply)["code"] == outcome
    assert "score" not in reply.json()
    assert f'edit_rrm_outcomes_total{{outcome="{outcome}"}} 1.0' in text


@pytest.mark.parametrize(("outcome", "answer", "status"), BAD_ANSWERS)
async def test_one_bad_edit_costs_that_edit_alone(outcome: str, answer: Answer, status: int) -> None:
    def judgement(prompt: Prompt) -> Answer:
        edited = pictures(prompt)[1].pixels
        return answer if edited.width == edited.height else GOOD

    edits = (png("blue"), png("blue", (64, 64)), png("green"))
    async with running(FakeEngine(judgement=judgement)) as client:
        reply = await post(client, "/v1/rewards", edited=edits)
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert [result["outcome"] for result in results] == ["scored", outcome, "scored"]
    failed = results[1]
    assert (failed["score"], failed["reward"], failed["average"]) == (None, None, None)
    assert failed["error"]["code"] == outcome
    assert failed["error"]["request_id"] == reply.json()["request_id"]


async def test_a_bad_image_in_a_group_is_its_own_outcome() -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        edited = (EDITED, b"not an image", EDITED[:-40], png("green"))
        reply = await post(client, "/v1/rewards", edited=edited)
    outcomes = [result["outcome"] for result in reply.json()["results"]]
    assert outcomes == ["scored", "bad_image", "bad_image", "scored"]
    assert reply.json()["results"][1]["error"]["param"] == "edited[1]"
    assert len(engine.generated) == 3


async def test_a_group_of_bad_images_asks_the_judge_nothing() -> None:
    engine = FakeEngine()
    async with running(engine) as client:
        reply = await post(client, "/v1/rewards", edited=(b"one", b"two"))
    assert [result["outcome"] for result in reply.json()["results"]] == ["bad_image"] * 2
    assert engine.generated == []


async def test_a_bad_edited_image_is_422() -> None:
    async with running(FakeEngine()) as client:
        reply = await post(client, edited=b"GIF89a and so on")
    assert reply.status_code == 422
    assert error_of(reply)["code"] == "bad_image"
    assert error_of(reply)["param"] == "edited"


async def test_a_bad_source_is_422_for_the_whole_group() -> None:
    async with running(FakeEngine()) as client:
        reply = await post(client, "/v1/rewards", source=b"nothing")
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "source"


async def test_a_decomposition_that_fails_is_every_edits_outcome_and_not_remembered() -> None:
    engine = FakeEngine(decomposition="Let me think about it.")
    async with running(engine) as client:
        first = await post(client, "/v1/rewards", edited=(EDITED, png("green")))
        engine.decomposition = FakeEngine().decomposition
        second = await post(client, "/v1/rewards", edited=(EDITED, png("green")))
    assert [result["outcome"] for result in first.json()["results"]] == ["unparsable"] * 2
    assert "decomposing" in first.json()["results"][0]["error"]["message"]
    assert first.json()["principles"] is None
    assert [result["outcome"] for result in second.json()["results"]] == ["scored"] * 2


@pytest.mark.parametrize("mass", [0.0, 0.3])
async def test_a_probe_that_is_neither_yes_nor_no_is_not_a_number(mass: float) -> None:
    async with running(FakeEngine(label_mass=mass)) as client:
        reply = await post(client, mode="probe")
    assert reply.status_code == 502
    assert error_of(reply)["code"] == "low_label_mass"


async def test_one_bad_sample_of_several_is_no_score() -> None:
    answers = iter([GOOD, "I lost the thread.", GOOD])
    async with running(FakeEngine(judgement=lambda prompt: next(answers))) as client:
        reply = await post(client, samples=3)
    assert reply.status_code == 502
    assert error_of(reply)["code"] == "unparsable"


async def test_one_bad_probe_costs_its_edit_alone() -> None:
    def probability(prompt: Prompt) -> float | EngineError:
        square = pictures(prompt)[1].pixels.width == pictures(prompt)[1].pixels.height
        return EngineError("the engine stumbled") if square and "Is it sharp?" in words(prompt)[-60:] else 0.9

    edits = (png("blue"), png("blue", (64, 64)), png("green"))
    async with running(FakeEngine(probability=probability)) as client:
        results = (await post(client, "/v1/rewards", edited=edits, mode="probe")).json()["results"]
    assert [result["outcome"] for result in results] == ["scored", "engine_error", "scored"]
    assert results[1]["score"] is results[1]["reward"] is None


async def test_a_failure_of_the_decomposition_keeps_its_kind() -> None:
    failure = EngineError("the weights are broken", retryable=False)
    async with running(FakeEngine(decomposition=failure)) as client:
        replies = [await post(client), await post(client, "/v1/decompose", edited=None)]
        group = (await post(client, "/v1/rewards", edited=(EDITED, b"no image"))).json()
    for reply in replies:
        assert reply.status_code == 503
        assert error_of(reply)["code"] == "engine_error"
        assert error_of(reply)["retryable"] is False
    assert [result["outcome"] for result in group["results"]] == ["engine_error", "bad_image"]
    assert group["results"][0]["error"]["retryable"] is False


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        ("[]", "unparsable", 502),
        (written(PRINCIPLES, "length"), "truncated", 502),
        (written("No.", "refused"), "refused", 502),
    ],
)
async def test_a_decomposition_without_principles_is_an_error_status(answer: Answer, code: str, status: int) -> None:
    async with running(FakeEngine(decomposition=answer)) as client:
        for path, edited in (("/v1/decompose", None), ("/v1/reward", EDITED)):
            reply = await post(client, path, edited=edited)
            assert reply.status_code == status
            assert error_of(reply)["code"] == code


async def test_a_bug_is_a_500_with_the_error_shape_and_the_next_request_is_served() -> None:
    engine = FakeEngine(judgement=lambda prompt: str(1 // 0))
    async with running(engine) as client:
        reply = await post(client)
        engine.judgement = lambda prompt: GOOD
        after = await post(client)
        text = (await client.get("/metrics")).text
    assert reply.status_code == 500
    assert error_of(reply)["code"] == "internal_error"
    assert "ZeroDivisionError" not in reply.text
    assert after.status_code == 200
    assert 'edit_rrm_http_requests_total{route="/v1/reward",status="500"} 1.0' in text


async def test_a_dead_engine_fails_liveness_alone() -> None:
    engine = FakeEngine()
    async with running(engine, engine_check_ms=10) as client:
        engine.dead = True

        async def dead() -> bool:
            return (await client.get("/livez")).status_code == 503

        await eventually(dead)
        assert (await client.get("/startupz")).status_code == 200
