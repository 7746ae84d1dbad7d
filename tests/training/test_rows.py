"""Training rows are, token for token and pixel for pixel, the chats that the service sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edit_rrm.prompts import ImagePart, RenderedPrompt, TextPart, load_prompt_set
from edit_rrm_training.judge.architecture import NanoSize, build_model
from edit_rrm_training.judge.rows import RowBuilder, collate
from edit_rrm_training.judge.sft import SftRecipe, prepare_tokenizer
from edit_rrm_training.shapes import Sample, make

LENGTH = 288


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    special = prepare_tokenizer(SftRecipe(), folder)
    build_model(NanoSize(text_layers=2, vision_layers=2), special, seed=0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def processor(judge: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(judge)


@pytest.fixture(scope="module")
def model(judge: Path) -> Any:
    from transformers import Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration.from_pretrained(judge, dtype=torch.float32).eval()


def _chat(processor: Any, prompt: RenderedPrompt, sample: Sample, answer: str) -> Any:
    """The processor's own rendering of one chat."""
    content = [
        {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}
        for part in prompt.parts
    ]
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + answer + "<|im_end|>"
    pixels = {"source": sample.source_pixels(), "edited": sample.edited_pixels()}
    images = [Image.fromarray(pixels[part.role]) for part in prompt.parts if isinstance(part, ImagePart)]
    return processor(text=[text], images=images, return_tensors="pt")


def _branch(row: Any, number: int) -> np.ndarray[Any, Any]:
    return np.flatnonzero((row.branches == 0) | (row.branches == number))


@pytest.mark.parametrize("index", range(10))
def test_every_branch_is_the_chat_of_the_processor(judge: Path, processor: Any, model: Any, index: int) -> None:
    from edit_rrm.grammar import format_judgement

    sample = make("train", index)
    findings = sample.truth.findings
    principles = [finding.principle for finding in findings]
    prompts = load_prompt_set("nano")
    row = RowBuilder(judge).judgement(sample, [1, 0], LENGTH)
    passed = [finding.passed for finding in findings]
    answer = format_judgement([finding.reason for finding in findings], passed, sample.truth.score)
    chats = [
        (prompts.think(sample.instruction, principles), answer),
        (prompts.probe(sample.instruction, principles, 1), "yes" if passed[1] else "no"),
    ]
    expected: Any = None
    for number, (prompt, text) in enumerate(chats, start=1):
        expected = _chat(processor, prompt, sample, text)
        kept = _branch(row, number)
        assert row.ids[kept].tolist() == expected["input_ids"][0].tolist()
        positions, _ = model.model.get_rope_index(
            expected["input_ids"],
            mm_token_type_ids=expected["mm_token_type_ids"],
            image_grid_thw=expected["image_grid_thw"],
        )
        assert row.positions[:, kept].tolist() == positions[:, 0].tolist()
    tensors = collate([row], pad=0, length=LENGTH)
    assert torch.allclose(tensors["pixel_values"], expected["pixel_values"], atol=1e-5)
    assert torch.equal(tensors["image_grid_thw"], expected["image_grid_thw"])


def test_the_tree_mask_gives_the_logits_of_separate_chats(judge: Path, processor: Any, model: Any) -> None:
    sample = make("train", 3)
    principles = [finding.principle for finding in sample.truth.findings]
    row = RowBuilder(judge).judgement(sample, [2, 4], LENGTH)
    tensors = collate([row], pad=0, length=LENGTH)
    inputs = {name: value for name, value in tensors.items() if name not in ("labels", "weights", "cells")}
    with torch.no_grad():
        tree = model(**inputs).logits[0]
        for number, index in ((2, 2), (3, 4)):
            verdict = "yes" if sample.truth.findings[index].passed else "no"
            prompt = load_prompt_set("nano").probe(sample.instruction, principles, index)
            alone = model(**_chat(processor, prompt, sample, verdict)).logits[0]
            kept = torch.from_numpy(_branch(row, number))
            assert torch.allclose(tree[kept], alone, atol=1e-4)


def test_labels_ask_for_the_answers_and_nothing_else(judge: Path) -> None:
    sample = make("train", 5)
    builder = RowBuilder(judge)
    row = builder.judgement(sample, [0], LENGTH)
    asked = np.flatnonzero(row.labels >= 0)
    # Each asked position predicts the token after it, inside its own branch.
    assert (row.labels[asked] == row.ids[asked + 1]).all()
    assert (row.branches[asked] == row.branches[asked + 1]).all()
    assert (row.weights[asked] > 0).all()
    assert (row.weights[row.labels < 0] == 0).all()
    probe = row.labels[(row.branches == 2) & (row.labels >= 0)]
    assert len(probe) == 2, "a probe's answer is one token and the end of the turn"


def test_a_row_takes_as_many_probes_as_fit(judge: Path) -> None:
    sample = make("train", 1)
    builder = RowBuilder(judge)
    everything = list(range(len(sample.truth.findings)))
    assert len(builder.judgement(sample, everything, LENGTH).ids) <= LENGTH
    assert builder.judgement(sample, everything, 2 * LENGTH).branches.max() == len(everything) + 1
    with pytest.raises(ValueError, match="tokens"):
        builder.judgement(sample, everything, 100)


def test_decomposition_rows_show_the_source_alone(judge: Path, processor: Any) -> None:
    from edit_rrm.grammar import format_principles

    sample = make("train", 2)
    row = RowBuilder(judge).decomposition(sample)
    answer = format_principles([finding.principle for finding in sample.truth.findings])
    expected = _chat(processor, load_prompt_set("nano").decompose(sample.instruction), sample, answer)
    assert row.ids.tolist() == expected["input_ids"][0].tolist()
    assert len(row.scenes) == 1
