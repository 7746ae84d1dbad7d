"""The identity changes with everything that could move a score, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edit_rrm.card import ImageBudget, JudgeCard, ProbeLabels, SamplingDefaults
from edit_rrm.prompts import load_prompt_set
from edit_rrm.verdicts import Aggregation
from edit_rrm_service.engines.base import EngineFacts
from edit_rrm_service.identity import judge_identity
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, post, running

CARD = JudgeCard(name="judge")
FACTS = EngineFacts("vllm", "/models/judge", "a" * 64, "bfloat16", True, {"vllm": "0.32.0"})


def identity(card: JudgeCard = CARD, facts: EngineFacts = FACTS, prompts: str = "standard") -> str:
    return judge_identity(card, load_prompt_set(prompts), facts).identity


@pytest.mark.parametrize(
    "card",
    [
        {"labels": ProbeLabels(yes=("Y",), no=("N",))},
        {"label_mass_floor": 0.4},
        {"image": ImageBudget(max_pixels=500_000)},
        {"sampling": SamplingDefaults(temperature=0.1)},
        {"think_aggregation": Aggregation.MEAN},
        {"probe_aggregation": Aggregation.MIN},
    ],
)
def test_what_the_card_says_about_judging_moves_it(card: dict[str, Any]) -> None:
    assert identity(CARD.model_copy(update=card)) != identity()


@pytest.mark.parametrize(
    "facts",
    [
        {"weights_digest": "b" * 64},
        {"dtype": "float16"},
        {"engine": "transformers"},
        {"details": {"vllm": "0.33.0"}},
        {"supports_probe": False},
    ],
)
def test_what_runs_the_judge_moves_it(facts: dict[str, Any]) -> None:
    assert identity(facts=replace(FACTS, **facts)) != identity()


def test_prompts_move_it() -> None:
    assert identity(prompts="nano") != identity()


@pytest.mark.parametrize(
    "card", [{"name": "other"}, {"summary": "x"}, {"metrics": {"a": 1}}, {"training": {"seed": 1}}]
)
def test_what_only_describes_the_judge_does_not(card: dict[str, Any]) -> None:
    assert identity(CARD.model_copy(update=card)) == identity()


def test_a_checkpoint_may_move_and_a_remote_model_may_not() -> None:
    assert identity(facts=replace(FACTS, model="/elsewhere")) == identity()
    remote = replace(FACTS, weights_digest=None)
    assert identity(facts=remote) != identity(facts=replace(remote, model="/elsewhere"))


async def test_every_answer_carries_it() -> None:
    principle = {"question": "Is the star blue?", "category": "instruction_following"}
    engine = FakeEngine(judgement=lambda prompt: "verdicts: 1\n<score>8</score>")
    async with running(engine) as client:
        served = (await client.get("/v1/identity")).json()
        replies = [
            await post(client, "/v1/decompose", edited=None),
            await post(client, "/v1/verify", principles=[principle]),
            await post(client, "/v1/reward", principles=[principle]),
            await post(client, "/v1/rewards", principles=[principle], edited=(EDITED, b"no image")),
        ]
        text = (await client.get("/metrics")).text
    assert set(served) == {"identity", "name", "summary", "facts"}
    assert {reply.json()["identity"] for reply in replies} == {served["identity"]}
    assert [result["identity"] for result in replies[-1].json()["results"]] == [served["identity"]] * 2
    labels = f'engine="fake",identity="{served["identity"]}",model="{served["name"]}"'
    assert f"edit_rrm_judge_info{{{labels}}} 1.0" in text


async def test_probes_ask_the_labels_the_card_names() -> None:
    engine = FakeEngine()
    async with running(engine):
        assert engine.labels == ("Yes", "yes", "No", "no")
