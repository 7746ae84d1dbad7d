"""A widened judge writes, and reads, what the shipped one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.widened import NANO, Wide, widen
from edit_rrm.card import load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import Completion, EngineImage, LabelReading, Prompt, Sampling
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.transformers import TransformersEngine
from edit_rrm_service.images import pixel_digest
from edit_rrm_training.shapes import make
from edit_rrm_training.shapes.render import Pixels
from tests.engines.prompts import fill

SAMPLE = make("validation", 3)


def image(pixels: Pixels) -> EngineImage:
    picture = Image.fromarray(pixels)
    return EngineImage(picture, pixel_digest(picture))


def prompts() -> tuple[Prompt, Prompt]:
    principles = [finding.principle for finding in SAMPLE.truth.findings]
    written = load_prompt_set("nano")
    pictures = image(SAMPLE.source_pixels()), image(SAMPLE.edited_pixels())
    return (
        fill(written.think(SAMPLE.instruction, principles), *pictures),
        fill(written.probe(SAMPLE.instruction, principles, 0), *pictures),
    )


async def answers(folder: Path) -> tuple[str, list[float]]:
    card = load_card(folder)
    assert card is not None
    labels = [*card.labels.yes, *card.labels.no]
    engine = TransformersEngine(str(folder), card, EngineOptions(dtype="float32"))
    await engine.start(labels)
    thought, probed = prompts()
    (written,) = await engine.generate([thought], Sampling(max_tokens=160))
    (read,) = await engine.probe([probed], labels)
    await engine.close()
    assert isinstance(written, Completion)
    assert isinstance(read, LabelReading)
    return written.text, [read.logprobs[label] for label in labels]


@pytest.mark.slow
async def test_a_wider_judge_answers_the_same(tmp_path: Path) -> None:
    size = Wide(text_layers=6, text_hidden=640, vision_layers=5, vision_hidden=384)
    parameters = widen(size, tmp_path / "wide")
    assert parameters > 15e6
    text, logprobs = await answers(NANO)
    wide_text, wide_logprobs = await answers(tmp_path / "wide")
    assert wide_text == text
    assert wide_logprobs == pytest.approx(logprobs, abs=0.05)


def test_a_judge_does_not_shrink(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more layers"):
        widen(Wide(text_layers=1, text_hidden=640, vision_layers=5, vision_hidden=384), tmp_path)
    with pytest.raises(ValueError, match="wider feed-forward"):
        widen(Wide(text_layers=6, text_hidden=64, vision_layers=5, vision_hidden=384), tmp_path)
