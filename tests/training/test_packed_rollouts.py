"""Rollouts packed behind their prompt are scored as they would be in rows of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl.trainer.utils import add_fused_lm_head

from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.gcpo import train_gcpo
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.packed_rollouts import can_pack, pack, packed_inputs, prompts_of
from edit_rrm_training.judge.pair_rows import pair_dataset, shapes_pair
from tests.training.test_gcpo import distance

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 9
"""Tokens of the longest completion of `batch`."""


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """A prompt's length for each of some prompts, each rollout's prompt, and each completion's length."""
    prompts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    first = list(range(len(prompts)))
    rest = draw(st.lists(st.sampled_from(first), max_size=6))
    numbers = draw(st.permutations(first + rest))
    order: dict[int, int] = {}
    numbers = [order.setdefault(number, len(order)) for number in numbers]
    lengths = draw(st.lists(st.integers(0, 4), min_size=len(numbers), max_size=len(numbers)))
    return prompts, numbers, lengths


@given(layouts())
def test_every_token_sees_its_prompt_and_what_its_rollout_has_written(layout: tuple[Any, ...]) -> None:
    lengths, prompts, written = layout
    longest, width = max(lengths), max(written)
    rows = [
        [0] * (longest - lengths[prompt]) + [1] * (lengths[prompt] + count) + [0] * (width - count)
        for prompt, count in zip(prompts, written, strict=True)
    ]
    packing = pack(torch.tensor(rows), width, prompts)
    tokens = torch.arange(len(rows))[:, None] * 100 + torch.arange(longest + width)
    placed, visible = packing.take(tokens), packing.visible[:, 0]
    assert packing.firsts.tolist() == [prompts.index(number) for number in range(max(prompts) + 1)]
    for row, (prompt, count) in enumerate(zip(prompts, written, strict=True)):
        first, at = int(packing.firsts[prompt]), longest - lengths[prompt]
        for step in range(count):
            here = packing.answers[prompt] & (placed[prompt] == row * 100 + longest + step)
            assert int(here.sum()) == 1
            seen = placed[prompt][visible[prompt][int(here.nonzero())]].tolist()
            ahead = [first * 100 + column for column in range(at, longest - 1)]
            assert seen == ahead + [row * 100 + column for column in range(longest - 1, longest + step + 1)]
    spread = packing.spread(placed[:, 1:], width, longest + width)
    expected = [
        [row * 100 + longest + step if step < count else 0 for step in range(width)]
        for row, count in enumerate(written)
    ]
    assert spread.tolist() == expected
    assert visible.any(-1).all(), "a place that sees nothing has no attention"


@pytest.fixture(scope="module")
def judge() -> Any:
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)
    add_fused_lm_head(model, temperature=1.3, outputs=("log_probs", "entropy"))
    return model


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    """Five rollouts of each side of two pairs, shuffled, as TRL puts them together; completions differ in length."""
    processor = AutoProcessor.from_pretrained(SHIPPED_JUDGE)
    dataset = pair_dataset(2, lambda index: shapes_pair("validation", index), load_prompt_set("nano"))
    chosen = [3, 0, 1, 2, 1, 3, 0, 0, 2, 3]
    chats = [dataset[index] for index in chosen]
    texts = [processor.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False) for row in chats]
    images = [image for row in chats for image in row["images"]]
    made = processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt")
    random = torch.Generator().manual_seed(0)
    completions = torch.randint(20, 200, (len(chosen), WIDTH), generator=random)
    lengths = torch.tensor([1 + index % WIDTH for index in range(len(chosen))])
    written = (torch.arange(WIDTH) < lengths[:, None]).long()
    return {
        "ids": torch.cat([made["input_ids"], completions * written], dim=1),
        "mask": torch.cat([made["attention_mask"], written], dim=1),
        "mm_token_type_ids": torch.cat([made["mm_token_type_ids"], torch.zeros_like(written)], dim=1),
        "pixel_values": made["pixel_values"],
        "image_grid_thw": made["image_grid_thw"],
        "num_images": [2] * len(chosen),
        "chosen": chosen,
    }


def fields(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: batch[name] for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")}


def gradients(judge: Any) -> dict[str, torch.Tensor]:
    found = {name: value.grad.clone() for name, value in judge.named_parameters() if value.grad is not None}
    judge.zero_grad()
    return found


def test_probabilities_entropies_and_gradients_are_those_of_rows_of_their_own(
    judge: Any, batch: dict[str, Any]
) -> None:
    ids, mask = batch["ids"], batch["mask"]
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-WIDTH] = -100
    alone = judge(
        input_ids=ids,
        attention_mask=mask,
        labels=labels,
        fused_lm_head=True,
        **{name: value for name, value in fields(batch).items() if name != "num_images"},
    )
    weight = torch.randn(len(ids), WIDTH, generator=torch.Generator().manual_seed(1))
    (alone.log_probs[:, -WIDTH:] * weight).sum().backward()
    expected = gradients(judge)
    packing, inputs = packed_inputs(judge, ids, mask, WIDTH, **fields(batch))
    assert inputs["input_ids"].shape[0] == len(set(batch["chosen"]))
    assert len(inputs["pixel_values"]) < len(batch["pixel_values"]) / 2
    together = judge(**inputs, fused_lm_head=True)
    logps = packing.spread(together.log_probs, WIDTH, ids.shape[1])
    assert torch.allclose(logps, alone.log_probs[:, -WIDTH:], atol=1e-4)
    entropy = packing.spread(together.entropy, WIDTH, ids.shape[1])
    assert torch.allclose(entropy, alone.entropy[:, -WIDTH:], atol=1e-4)
    (logps * weight).sum().backward()
    for name, value in gradients(judge).items():
        assert torch.allclose(value, expected[name], atol=1e-4 * max(1.0, float(expected[name].abs().max()))), name


def test_an_adapted_judge_is_packed_too(batch: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model

    plain = AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)
    add_fused_lm_head(plain)
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    assert can_pack(adapted)
    ids, mask = batch["ids"], batch["mask"]
    packing, inputs = packed_inputs(adapted, ids, mask, WIDTH, **fields(batch))

    def scored() -> torch.Tensor:
        with torch.no_grad():
            return packing.spread(adapted(**inputs, fused_lm_head=True).log_probs, WIDTH, ids.shape[1])

    with_adapter = scored()
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-WIDTH] = -100
    own = {name: value for name, value in fields(batch).items() if name != "num_images"}
    with torch.no_grad():
        alone = adapted(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, **own)
    assert torch.allclose(with_adapter, alone.log_probs[:, -WIDTH:], atol=1e-4)
    with adapted.disable_adapter():
        assert not torch.allclose(scored(), with_adapter, atol=1e-2)


def test_two_edits_of_one_source_are_two_prompts(batch: dict[str, Any]) -> None:
    """The tokens of a pair's two sides are the same; their images are not."""
    patches = list(batch["pixel_values"].split(len(batch["pixel_values"]) // len(batch["chosen"])))
    grids = list(batch["image_grid_thw"].split(2))
    numbers = prompts_of(batch["ids"], batch["mask"], WIDTH, patches, grids)
    order: dict[int, int] = {}
    assert numbers == [order.setdefault(row, len(order)) for row in batch["chosen"]]


def test_only_models_that_were_tested_are_packed() -> None:
    assert can_pack(AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE))
    assert not can_pack(AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, attn_implementation="eager"))
    other = type("Other", (), {"config": type("Config", (), {"model_type": "llava"})})()
    assert not can_pack(other)


@pytest.mark.slow
def test_a_step_moves_the_weights_as_it_would_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []

    def count(*args: Any, **kwargs: Any) -> Any:
        packing, inputs = packed_inputs(*args, **kwargs)
        packed.append(len(inputs["input_ids"]))
        return packing, inputs

    def one_step(folder: Path) -> dict[str, torch.Tensor]:
        recipe = GcpoRecipe(
            steps=1,
            pairs=4,
            pairs_per_step=4,
            rollouts=4,
            micro_batch=32,
            temperature=1.5,
            warmup_steps=0,
            kl=0.01,
            learning_rate=1e-3,
        )
        judge: dict[str, torch.Tensor] = load_file(str(train_gcpo(recipe, SHIPPED_JUDGE, folder) / "model.safetensors"))
        return judge

    monkeypatch.setattr("edit_rrm_training.judge.gcpo.packed_inputs", count)
    quick = one_step(tmp_path / "packed")
    assert packed == [8, 8], "the judge and its reference, eight prompts each"
    monkeypatch.setattr("edit_rrm_training.judge.gcpo.can_pack", lambda model: False)
    thorough = one_step(tmp_path / "apart")
    assert packed == [8, 8]
    before: dict[str, torch.Tensor] = load_file(str(SHIPPED_JUDGE / "model.safetensors"))
    moved, apart = distance(before, thorough), distance(quick, thorough)
    assert moved > 0.1
    assert apart < moved / 10
