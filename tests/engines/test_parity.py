"""vLLM says what the reference says: the same greedy text and, within 0.02, the same probabilities."""

from __future__ import annotations

import math

import pytest
from PIL import Image

from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import Completion, EngineImage, LabelReading, Prompt, Sampling
from edit_rrm_service.engines.transformers import TransformersEngine
from edit_rrm_service.engines.vllm import VllmEngine
from edit_rrm_service.images import pixel_digest
from edit_rrm_training.shapes import Sample, make
from edit_rrm_training.shapes.render import Pixels
from tests.engines.conftest import Judge
from tests.engines.prompts import fill

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

SAMPLES = [make("validation", index) for index in range(12)]
TOLERANCE = 0.02


def image(pixels: Pixels) -> EngineImage:
    picture = Image.fromarray(pixels)
    return EngineImage(picture, pixel_digest(picture))


def think(judge: Judge, sample: Sample) -> Prompt:
    principles = [finding.principle for finding in sample.truth.findings]
    rendered = load_prompt_set(judge.card.prompts).think(sample.instruction, principles)
    return fill(rendered, image(sample.source_pixels()), image(sample.edited_pixels()))


def probes(judge: Judge, sample: Sample) -> list[Prompt]:
    principles = [finding.principle for finding in sample.truth.findings]
    prompts = load_prompt_set(judge.card.prompts)
    source, edited = image(sample.source_pixels()), image(sample.edited_pixels())
    return [
        fill(prompts.probe(sample.instruction, principles, index), source, edited) for index in range(len(principles))
    ]


def probability(judge: Judge, reading: object) -> float:
    assert isinstance(reading, LabelReading), reading
    yes, no = (
        sum(math.exp(reading.logprobs[label]) for label in labels)
        for labels in (judge.card.labels.yes, judge.card.labels.no)
    )
    return yes / (yes + no)


async def test_the_same_greedy_text(
    judge: Judge, vllm_engine: VllmEngine, transformers_engine: TransformersEngine
) -> None:
    prompts = [think(judge, sample) for sample in SAMPLES]
    sampling = Sampling(max_tokens=160)
    texts: list[list[str]] = []
    for engine in (vllm_engine, transformers_engine):
        answers = await engine.generate(prompts, sampling)
        assert all(isinstance(answer, Completion) for answer in answers), answers
        texts.append([answer.text for answer in answers if isinstance(answer, Completion)])
    assert texts[0] == texts[1]


async def test_the_same_probabilities(
    judge: Judge, vllm_engine: VllmEngine, transformers_engine: TransformersEngine
) -> None:
    prompts = [prompt for sample in SAMPLES for prompt in probes(judge, sample)]
    one, other = [
        [probability(judge, reading) for reading in await engine.probe(prompts, judge.labels)]
        for engine in (vllm_engine, transformers_engine)
    ]
    assert len(one) >= 60
    assert max(abs(first - second) for first, second in zip(one, other, strict=True)) < TOLERANCE
    # Unlike constants, these readings could disagree.
    assert max(one) - min(one) > 0.1
