"""The judge in vLLM: groups share their prefix, one prompt's failure is its own, cancelled work stops."""

from __future__ import annotations

import asyncio
import math

import pytest

from edit_rrm_service.engines.base import (
    Completion,
    EngineDeadError,
    EngineError,
    EngineStartError,
    LabelReading,
    Prompt,
    Sampling,
)
from edit_rrm_service.engines.vllm import VllmEngine
from tests.engines.conftest import FLOAT32, Babbling, Judge
from tests.engines.prompts import picture, thinks

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

BLOCK = 32
"""Tokens of a cache block on a CPU."""
AFTER_THE_SOURCE = 40
"""Upper bound on the tokens of the shipped judge's `think` prompt behind its source: edit, question and cue."""


def completed(answers: list[Completion | EngineError]) -> list[Completion]:
    assert all(isinstance(answer, Completion) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Completion)]


def readings(answers: list[LabelReading | EngineError]) -> list[LabelReading]:
    assert all(isinstance(answer, LabelReading) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, LabelReading)]


async def test_a_group_of_16_computes_its_shared_prefix_once(judge: Judge, vllm_engine: VllmEngine) -> None:
    prompts = judge.thinks(16, instruction="Turn the small green square purple at once", seed=3)
    first, *others = completed(await vllm_engine.generate(prompts, Sampling(max_tokens=4)))
    shared = (first.prompt_tokens - AFTER_THE_SOURCE) // BLOCK * BLOCK
    assert shared >= BLOCK
    assert [answer.cached_tokens >= shared for answer in others] == [True] * 15


async def test_probes_of_one_edit_share_everything_before_the_question(judge: Judge, vllm_engine: VllmEngine) -> None:
    prompts = judge.probes(1, instruction="Remove the yellow triangle, if you would", seed=4)
    first, *others = readings(await vllm_engine.probe(prompts, judge.labels))
    shared = (first.prompt_tokens - 60) // BLOCK * BLOCK
    assert shared >= BLOCK
    assert all(reading.cached_tokens >= shared for reading in others)


async def test_readings_are_log_probabilities(judge: Judge, vllm_engine: VllmEngine) -> None:
    for reading in readings(await vllm_engine.probe(judge.probes(2), judge.labels)):
        assert set(reading.logprobs) == set(judge.labels)
        assert all(value <= 0.0 for value in reading.logprobs.values())
        assert 0.0 < sum(math.exp(value) for value in reading.logprobs.values()) <= 1.0 + 1e-4


async def test_one_prompt_that_is_too_long_costs_no_other(judge: Judge, vllm_engine: VllmEngine) -> None:
    good, other = judge.thinks(2)
    long = Prompt("System.", ("word " * 9_000, picture(1), picture(2)))
    answers = await vllm_engine.generate([good, long, other], Sampling(max_tokens=4))
    assert isinstance(answers[1], EngineError)
    assert answers[1].retryable is False
    completed([answers[0], answers[2]])


async def test_cancelling_aborts_and_the_engine_goes_on(babbling: Babbling) -> None:
    engine = babbling.engine
    began = asyncio.get_running_loop().time()
    whole = completed(await engine.generate(thinks(4), Sampling(max_tokens=800)))
    alone = asyncio.get_running_loop().time() - began
    assert sum(answer.completion_tokens for answer in whole) > 800
    endless = asyncio.ensure_future(engine.generate(thinks(4), Sampling(max_tokens=800)))
    await asyncio.sleep(alone / 8)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    began = asyncio.get_running_loop().time()
    completed(await engine.generate(thinks(1), Sampling(max_tokens=2)))
    assert asyncio.get_running_loop().time() - began < alone / 2


async def test_a_label_of_no_single_token_is_said_at_the_start(judge: Judge) -> None:
    engine = VllmEngine(str(judge.path), judge.card, FLOAT32)
    with pytest.raises(EngineStartError, match="token"):
        await engine.start(("absolutely certainly yes", "by no means at all"))


async def test_an_engine_that_was_never_started_is_dead(judge: Judge) -> None:
    engine = VllmEngine(str(judge.path), judge.card, FLOAT32)
    with pytest.raises(EngineDeadError):
        await engine.check()


async def test_a_killed_engine_says_that_it_is_dead(babbling: Babbling) -> None:
    await babbling.engine.check()
    babbling.process.kill()
    babbling.process.join(30)
    for _ in range(200):
        answers = await babbling.engine.generate(thinks(1), Sampling(max_tokens=2))
        if isinstance(answers[0], EngineDeadError):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("nobody noticed")
    with pytest.raises(EngineDeadError):
        await babbling.engine.check()
