"""A running Edit-RRM service as a teacher, against the real service over a scripted engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from PIL import Image

from edit_rrm.grammar import Judgement, parse_judgement, parse_principles
from edit_rrm.verdicts import Outcome, Reward, Verdict
from edit_rrm_service.auth import hash_key
from edit_rrm_training.judge.cold_start.config import ServiceTeacher
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.rows import EditRow
from edit_rrm_training.judge.cold_start.teachers.served import ServedTeacher, judgement_text
from tests.client.fake_service import PRINCIPLES, judgement, judging_service
from tests.training.cold_start.people import png

ROW = EditRow("row", "task", "here/0", "make the star blue", png("red", 64), png("blue", 64))
BAD = EditRow("row", "task", "here/0", "make the star blue", png("red", 64), png("red", 64))


def answer(edited: Image.Image) -> str:
    return judgement(6.5, (True, False)) if edited.getpixel((0, 0)) == (0, 0, 255) else "no idea"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer) as started:
        yield started


def ask(url: str, what: Callable[[ServedTeacher], Awaitable[str]], **options: object) -> str:
    async def run() -> str:
        served = teacher(url, **options)
        try:
            return await what(served)
        finally:
            await served.close()

    return asyncio.run(run())


def write(served: ServedTeacher) -> Awaitable[str]:
    return served.write(ROW, (), 0)


def think(served: ServedTeacher) -> Awaitable[str]:
    return served.think(ROW, PRINCIPLES, 0)


def teacher(url: str, **options: object) -> ServedTeacher:
    config = ServiceTeacher.model_validate({"kind": "service", "url": url, "retries": 1, "budget_s": 20} | options)
    return ServedTeacher("judge", config, pause_s=0.01)


def test_it_writes_principles_and_thinks(url: str) -> None:
    async def both() -> tuple[str, str]:
        served = teacher(url)
        try:
            assert served.source.model == "edit-rrm-service"
            answers = await served.write(ROW, (), 0), await served.think(ROW, PRINCIPLES, 0)
            assert len(served.source.model) > 20, "the identity of whoever answered"
            return answers
        finally:
            await served.close()

    written, thought = asyncio.run(both())
    assert parse_principles(written) == PRINCIPLES
    found = parse_judgement(thought, PRINCIPLES)
    assert isinstance(found, Judgement)
    assert (found.passed, found.score) == ((True, False), 6.5)
    assert found.rationales == ("was red, is blue", "still there")


def test_an_unscored_edit_is_its_outcome(url: str) -> None:
    with pytest.raises(AnswerError) as error:
        ask(url, lambda served: served.think(BAD, PRINCIPLES, 0))
    assert error.value.reason == "unparsable"


def test_a_wrong_key_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with judging_service(answer, api_key_hashes=(hash_key("right"),)) as url:
        with pytest.raises(ColdStartError, match=r"teacher judge at .*unauthorised"):
            ask(url, write)
        monkeypatch.setenv("JUDGE_KEY", "right")
        assert ask(url, write, api_key_env="JUDGE_KEY")


def test_nobody_there_is_unavailable_after_another_try() -> None:
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"teacher judge at http://127\.0\.0\.1:9: .*did not answer"):
        ask("http://127.0.0.1:9", think)
    assert time.monotonic() - start < 5.0


def test_a_reward_without_rationales_is_still_a_judgement() -> None:
    verdicts = tuple(Verdict(principle=principle, passed=True) for principle in PRINCIPLES)
    reward = Reward.model_validate(
        {
            "outcome": Outcome.SCORED,
            "score": 7.25,
            "reward": 0.725,
            "average": 1.0,
            "aggregation": "model",
            "mode": "think",
            "verdicts": [verdict.model_dump() for verdict in verdicts],
            "reasoning": "It is all there.",
        }
    )
    found = parse_judgement(judgement_text(reward), PRINCIPLES)
    assert isinstance(found, Judgement)
    assert (found.passed, found.score, found.reasoning) == ((True, True), 7.2, "It is all there.")
