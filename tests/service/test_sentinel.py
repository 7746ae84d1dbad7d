"""A judge that scores a black image like a good edit is not used, however healthy its process looks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edit_rrm.card import ImageBudget
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward
from edit_rrm_service.engines.base import EngineError, Prompt
from edit_rrm_service.sentinel import SHIPPED_SENTINELS, Finding, SentinelError, examine, load_sentinels
from tests.fakes.engine import COLLATERAL, GOOD, Answer, FakeEngine, pictures, words
from tests.service.running import eventually, post, running
from tests.service.test_metrics import value

BUDGET = ImageBudget(min_pixels=3_136, max_pixels=78_400)
NAMES = ["good", "untouched", "black"]


def right(prompt: Prompt) -> Answer:
    """What a judge that sees writes."""
    source, edited = pictures(prompt)
    good = edited.digest != source.digest and edited.pixels.getextrema() != ((0, 0),) * 3
    return GOOD if good and "circle" not in words(prompt) else COLLATERAL


def seeing_probe(prompt: Prompt) -> float:
    return 0.9 if right(prompt) == GOOD else 0.2


def blind(prompt: Prompt) -> Answer:
    return GOOD


def scored(score: float) -> Reward:
    return Reward(
        outcome=Outcome.SCORED,
        score=score,
        reward=score / 10,
        average=1.0,
        aggregation=Aggregation.MEAN,
        mode=Mode.THINK,
    )


def unscored(outcome: Outcome) -> Reward:
    return Reward(outcome=outcome, error=ErrorDetail(code=outcome.value, message="why"))


@pytest.mark.parametrize(
    ("rewards", "finding"),
    [
        ([scored(9), scored(2), scored(0)], Finding("ok")),
        ([scored(9), unscored(Outcome.REFUSED), scored(0)], Finding("ok")),
        ([scored(9), scored(9), scored(0)], Finding("broken", "'untouched' scores 9 and the good edit 9")),
        (
            [unscored(Outcome.UNPARSABLE)] + [scored(0)] * 2,
            Finding("broken", "the good edit was not scored (unparsable)"),
        ),
        (
            [scored(1), scored(2), unscored(Outcome.ENGINE_ERROR)],
            Finding("inconclusive", "sentinels could not be judged (black: engine_error)"),
        ),
    ],
)
def test_what_rewards_tell_about_their_judge(rewards: list[Reward], finding: Finding) -> None:
    assert examine(NAMES, rewards) == finding


async def test_a_judge_in_order_is_ready_and_says_what_it_gave() -> None:
    engine = FakeEngine(judgement=right, probability=seeing_probe)
    async with running(engine, sentinels="enforce") as client:
        text = (await client.get("/metrics")).text
    assert value(text, "edit_rrm_sentinels_ok") == 1
    assert value(text, "edit_rrm_sentinel_score", sentinel="good", mode="think") == 9.5
    assert value(text, "edit_rrm_sentinel_score", sentinel="black", mode="think") == 6
    assert value(text, "edit_rrm_sentinel_score", sentinel="untouched", mode="probe") == pytest.approx(2.0)
    assert value(text, "edit_rrm_outcomes_total", outcome="scored") == 0
    assert value(text, "edit_rrm_turns_in_flight") == 0


async def test_a_blind_judge_is_never_ready_and_says_which_edit_broke_the_order() -> None:
    engine = FakeEngine(judgement=blind, probability=seeing_probe)
    async with running(engine, ready=False, sentinels="enforce") as client:

        async def unfit() -> bool:
            return bool((await client.get("/readyz")).json()["status"] == "unfit")

        await eventually(unfit)
        ready, reply = await client.get("/readyz"), await post(client)
        text = (await client.get("/metrics")).text
        assert (await client.get("/livez")).status_code == 200
    assert ready.status_code == 503
    assert "'black' scores 9.5 and the good edit 9.5" in ready.json()["reason"]
    assert "(mode think)" in ready.json()["reason"]
    assert reply.status_code == 503
    assert value(text, "edit_rrm_sentinels_ok") == 0
    assert value(text, "edit_rrm_sentinel_rounds_total", verdict="broken") == 1


async def test_with_warn_a_blind_judge_is_ready_and_counted() -> None:
    engine = FakeEngine(judgement=blind, probability=seeing_probe)
    async with running(engine, sentinels="warn") as client:
        assert (await post(client)).status_code == 200
        assert value((await client.get("/metrics")).text, "edit_rrm_sentinels_ok") == 0


async def test_a_judge_that_goes_wrong_later_is_found_out_and_one_that_recovers_too() -> None:
    engine = FakeEngine(judgement=right, probability=seeing_probe)
    async with running(engine, sentinels="enforce", sentinels_every_s=0.05) as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).is_success

        async def unready() -> bool:
            return not await ready()

        engine.judgement = blind
        await eventually(unready)
        engine.judgement = right
        await eventually(ready)
        assert (await post(client)).status_code == 200


async def test_a_round_that_says_nothing_changes_nothing() -> None:
    engine = FakeEngine(judgement=right, probability=seeing_probe)
    async with running(engine, sentinels="enforce", sentinels_every_s=0.05) as client:
        engine.judgement = lambda prompt: EngineError("busy")

        async def said_nothing() -> bool:
            text = (await client.get("/metrics")).text
            return (value(text, "edit_rrm_sentinel_rounds_total", verdict="inconclusive") or 0) >= 2

        await eventually(said_nothing)
        assert (await client.get("/readyz")).status_code == 200
        assert value((await client.get("/metrics")).text, "edit_rrm_sentinels_ok") == 1


def test_the_shipped_set_is_one_good_edit_and_three_that_are_worse() -> None:
    found = load_sentinels(SHIPPED_SENTINELS, BUDGET)
    assert [sentinel.name for sentinel in found] == ["good", "untouched", "black", "another-instruction"]
    good, untouched, black, other = found
    assert untouched.edited.digest == untouched.source.digest == good.source.digest
    assert black.edited.pixels.getextrema() == ((0, 0),) * 3
    assert (other.edited.digest, other.instruction != good.instruction) == (good.edited.digest, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[good]", "[good"), "is not TOML"),
        (('edited = "black"', 'edited = "none.png"'), "none.png: No such file"),
        (('edited = "black"', 'edited = "sentinels.toml"'), "not an image"),
        (('edited = "black"', 'edit = "black"'), r"worse.black.edited: Field required"),
        (('instruction = "make the red star blue"\n', ""), r"good.instruction: Field required"),
    ],
)
def test_a_set_that_cannot_be_used_says_what_to_change(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    folder = tmp_path / "set"
    shutil.copytree(SHIPPED_SENTINELS, folder)
    table = folder / "sentinels.toml"
    table.write_text(table.read_text().replace(*change, 1))
    with pytest.raises(SentinelError, match=said):
        load_sentinels(folder, BUDGET)


async def test_a_service_without_its_sentinels_says_so_and_does_not_start(tmp_path: Path) -> None:
    async with running(FakeEngine(), ready=False, sentinels="enforce", sentinels_folder=tmp_path) as client:

        async def failed() -> bool:
            return bool((await client.get("/readyz")).json()["status"] == "failed")

        await eventually(failed)
        assert "sentinels.toml cannot be read" in (await client.get("/readyz")).json()["reason"]


async def test_a_round_that_breaks_off_says_nothing_and_the_next_one_comes() -> None:
    asked = 0

    def judgement(prompt: Prompt) -> Answer:
        nonlocal asked
        asked += 1
        if asked <= 4:
            raise RuntimeError("a bug")
        return right(prompt)

    engine = FakeEngine(judgement=judgement, probability=seeing_probe)
    async with running(engine, ready=False, sentinels="enforce", sentinels_every_s=0.2) as client:

        async def unfit() -> bool:
            return "RuntimeError: a bug" in (await client.get("/readyz")).text

        async def ready() -> bool:
            return (await client.get("/readyz")).is_success

        await eventually(unfit)
        await eventually(ready)


async def test_an_engine_that_cannot_be_checked_is_not_used_until_it_can() -> None:
    engine = FakeEngine()
    async with running(engine, engine_check_ms=20) as client:

        async def refused() -> bool:
            return "could not be checked: OSError: no more files" in (await client.get("/readyz")).text

        async def ready() -> bool:
            return (await client.get("/readyz")).is_success

        engine.check_error = OSError("no more files")
        await eventually(refused)
        engine.check_error = None
        await eventually(ready)
