"""What came of callers' edits and groups is counted by the names of API keys, and by nothing that a request says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from edit_rrm.verdicts import Outcome
from edit_rrm_service.auth import hash_key, load_keys
from edit_rrm_service.caller_metrics import MOST_CALLERS, CallerMetrics, DeadGroup
from edit_rrm_service.callers import CallerLimits
from edit_rrm_service.engines.base import EngineError, Prompt
from tests.fakes.engine import COLLATERAL, GOOD, Answer, FakeEngine, pictures
from tests.service.running import EDITED, png, post, running
from tests.service.test_metrics import value


def counted(*names: str) -> tuple[CallerMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    callers = CallerMetrics(registry)
    callers.expect(names)
    return callers, registry


def told(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def callers_in(text: str) -> set[str]:
    return set(re.findall(r'caller="([^"]*)"', text))


def keys_file(folder: Path, *names: str) -> Path:
    path = folder / "keys.toml"
    path.write_text("".join(f'[keys.{name}]\nsha256 = "{hash_key(name)}"\n' for name in names), encoding="utf-8")
    return path


def by_colour(prompt: Prompt) -> Answer:
    """A good edit where it is blue, a worse one where it is green, and none at all elsewhere."""
    colour = str(pictures(prompt)[-1].pixels.getpixel((0, 0)))
    return {"(0, 0, 255)": GOOD, "(0, 128, 0)": COLLATERAL}.get(colour) or EngineError("no")


async def test_two_runs_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    file = keys_file(tmp_path, "run-a", "run-b")
    async with running(FakeEngine(judgement=by_colour), api_keys_file=file) as client:
        one, other = ({"Authorization": f"Bearer {name}"} for name in ("run-a", "run-b"))
        await post(client, "/v1/rewards", edited=(EDITED, png("green"), b"no image"), headers=one)
        await post(client, edited=png("green"), headers=other)
        text = (await client.get("/metrics")).text
    assert callers_in(text) == {"run-a", "run-b"}
    assert value(text, "edit_rrm_caller_outcomes_total", caller="run-a", outcome="scored") == 2
    assert value(text, "edit_rrm_caller_outcomes_total", caller="run-a", outcome="bad_image") == 1
    assert value(text, "edit_rrm_caller_outcomes_total", caller="run-b", outcome="scored") == 1
    assert value(text, "edit_rrm_caller_outcomes_total", caller="run-b", outcome="bad_image") == 0
    assert value(text, "edit_rrm_caller_reward_sum", caller="run-a") == pytest.approx(1.55)
    assert value(text, "edit_rrm_caller_reward_count", caller="run-a") == 2
    assert value(text, "edit_rrm_caller_reward_sum", caller="run-b") == pytest.approx(0.6)
    assert value(text, "edit_rrm_groups_total", caller="run-a") == 1
    assert value(text, "edit_rrm_group_score_std_sum", caller="run-a") == pytest.approx(3.5 / 2**0.5)
    assert value(text, "edit_rrm_groups_total", caller="run-b") == 0, "one edit is no group"


async def test_groups_that_can_teach_nothing_are_counted_by_why() -> None:
    async with running(FakeEngine(judgement=by_colour)) as client:
        for second in ("blue", "black"):
            await post(client, "/v1/rewards", edited=(EDITED, png(second)))
        await post(client, "/v1/rewards", edited=(b"no image", png("black"), png("white")))
        text = (await client.get("/metrics")).text
    dead = {one: value(text, "edit_rrm_dead_groups_total", caller="anonymous", reason=one.value) for one in DeadGroup}
    assert dead == dict.fromkeys(DeadGroup, 1.0)
    assert value(text, "edit_rrm_groups_total", caller="anonymous") == 3
    assert value(text, "edit_rrm_group_score_std_count", caller="anonymous") == 1
    assert value(text, "edit_rrm_group_score_std_bucket", caller="anonymous", le="0.001") == 1


async def test_edits_that_were_refused_are_their_callers_too() -> None:
    async with running(FakeEngine(seconds=0.05), max_queued_work=1) as client:
        replies = await asyncio.gather(*(post(client, instruction=f"make it {index}") for index in range(6)))
        text = (await client.get("/metrics")).text
    refused = sum(reply.status_code == 429 for reply in replies)
    assert refused
    assert value(text, "edit_rrm_caller_outcomes_total", caller="anonymous", outcome="overloaded") == refused


async def test_sentinels_are_nobodys() -> None:
    async with running(FakeEngine(), sentinels="warn") as client:
        text = (await client.get("/metrics")).text
    assert callers_in(text) == {"anonymous"}
    assert value(text, "edit_rrm_caller_outcomes_total", caller="anonymous", outcome="scored") == 0


def test_everything_is_there_before_it_happens() -> None:
    _, registry = counted("run-a")
    text = told(registry)
    assert all(
        value(text, "edit_rrm_caller_outcomes_total", caller="run-a", outcome=outcome.value) == 0 for outcome in Outcome
    )
    assert all(
        value(text, "edit_rrm_dead_groups_total", caller="run-a", reason=reason.value) == 0 for reason in DeadGroup
    )
    for series in ("edit_rrm_groups_total", "edit_rrm_group_score_std_count", "edit_rrm_caller_reward_count"):
        assert value(text, series, caller="run-a") == 0


def test_callers_that_nobody_configured_and_those_that_are_too_many_share_one_name() -> None:
    names = [f"run-{index}" for index in range(MOST_CALLERS + 2)]
    callers, registry = counted(*names)
    for name in (*names, "a stranger"):
        callers.outcome(name, Outcome.SCORED)
        callers.score(name, 5.0)
        callers.group(name, (1.0, 2.0))
    text = told(registry)
    assert callers_in(text) == {*names[:MOST_CALLERS], "other"}
    assert value(text, "edit_rrm_caller_outcomes_total", caller="other", outcome="scored") == 3
    assert value(text, "edit_rrm_groups_total", caller="other") == 3


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ((None, None), DeadGroup.NONE_SCORED),
        ((None, 3.0, None), DeadGroup.ONE_SCORED),
        ((3.3, 3.3, 3.3), DeadGroup.NO_SPREAD),
        ((3.3, 3.3004, None), DeadGroup.NO_SPREAD),
        ((3.3, 3.4), None),
        ((0.0, 10.0), None),
    ],
)
def test_what_makes_a_group_dead(scores: tuple[float | None, ...], reason: DeadGroup | None) -> None:
    callers, registry = counted("run-a")
    callers.group("run-a", scores)
    text = told(registry)
    dead = [one for one in DeadGroup if value(text, "edit_rrm_dead_groups_total", caller="run-a", reason=one.value)]
    assert dead == ([] if reason is None else [reason])


def test_names_are_those_of_the_configuration(tmp_path: Path) -> None:
    limits = CallerLimits()
    assert load_keys((), None, limits).names == ("anonymous",)
    digest = hash_key("secret")
    assert load_keys((digest,), keys_file(tmp_path, "run-a"), limits).names == (f"key-{digest[:8]}", "run-a")
