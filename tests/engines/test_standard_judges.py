"""Random-weight Qwen2.5-VL and Qwen3-VL under the standard prompts: they load, babble, and are never scored."""

from __future__ import annotations

import pytest

from edit_rrm.grammar import Failure, parse_judgement, parse_principles
from edit_rrm_service.engines.base import Completion, LabelReading, Sampling
from edit_rrm_service.engines.transformers import TransformersEngine
from tests.engines.conftest import Babbling
from tests.engines.prompts import PRINCIPLES, decomposition, probes, thinks

pytestmark = pytest.mark.slow


async def test_babble_becomes_typed_failures(reference: TransformersEngine) -> None:
    for answer in await reference.generate(thinks(3), Sampling(max_tokens=24)):
        assert isinstance(answer, Completion)
        judgement = parse_judgement(answer.text, PRINCIPLES, truncated=answer.finish_reason == "length")
        assert isinstance(judgement, Failure)
    (answer,) = await reference.generate([decomposition()], Sampling(max_tokens=24))
    assert isinstance(answer, Completion)
    assert isinstance(parse_principles(answer.text, truncated=answer.finish_reason == "length"), Failure)


async def test_babble_gives_the_labels_next_to_nothing(reference: TransformersEngine) -> None:
    for reading in await reference.probe(probes(2), ("Yes", "yes", "No", "no")):
        assert isinstance(reading, LabelReading)
        assert all(value < 0.0 for value in reading.logprobs.values())


@pytest.mark.vllm
async def test_vllm_serves_them_too(babbling: Babbling) -> None:
    for answer in await babbling.engine.generate(thinks(2, seed=9), Sampling(max_tokens=24)):
        assert isinstance(answer, Completion)
        judgement = parse_judgement(answer.text, PRINCIPLES, truncated=answer.finish_reason == "length")
        assert isinstance(judgement, Failure)
