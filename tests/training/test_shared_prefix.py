"""Rollouts that share their prompt's keys and values say what rollouts of their own would say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.pair_rows import pair_dataset, shapes_pair
from edit_rrm_training.judge.shared_prefix import ATTENTION, can_share, one_of_each, sample_rollouts

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENS = 24


@pytest.fixture(scope="module")
def judge() -> Any:
    return AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(SHIPPED_JUDGE)


def rows(count: int) -> list[dict[str, Any]]:
    dataset = pair_dataset(count, lambda index: shapes_pair("validation", index), load_prompt_set("nano"))
    return [dataset[index] for index in range(2 * count)]


def processed(processor: Any, chats: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    texts = [processor.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False) for row in chats]
    images: list[Image.Image] = [image for row in chats for image in row["images"]]
    return dict(processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"))


@pytest.fixture(scope="module")
def prompts(processor: Any) -> dict[str, torch.Tensor]:
    made = processed(processor, rows(4))
    # Prompts of different lengths, or padding would go untested.
    assert made["attention_mask"].sum(1).unique().numel() > 1
    return made


def sampled(judge: Any, prompts: dict[str, torch.Tensor], rollouts: int, **how: Any) -> list[list[int]]:
    defaults: dict[str, Any] = {
        "max_tokens": TOKENS,
        "temperature": 1.0,
        "top_p": 1.0,
        "stop": [judge.generation_config.eos_token_id],
    }
    return sample_rollouts(judge, prompts, rollouts, **(defaults | how))


def test_the_likeliest_tokens_are_those_of_generate(judge: Any, prompts: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        whole = judge.generate(**prompts, do_sample=False, max_new_tokens=TOKENS)
    expected = whole[:, prompts["input_ids"].shape[1] :].tolist()
    shared = sampled(judge, prompts, 3, temperature=0.0)
    assert shared == [row for row in expected for _ in range(3)]


def test_a_stop_ends_a_rollout_and_is_part_of_it(judge: Any, prompts: dict[str, torch.Tensor]) -> None:
    whole = sampled(judge, prompts, 1, temperature=0.0)
    stop = whole[0][5]
    assert sampled(judge, prompts, 1, temperature=0.0, stop=[stop])[0] == whole[0][: whole[0].index(stop) + 1]


def test_what_is_sampled_is_distributed_as_the_model_says(
    judge: Any, processor: Any, prompts: dict[str, torch.Tensor]
) -> None:
    """The third token of 1,000 rollouts that began alike, against the model's own probabilities after those two."""
    torch.manual_seed(0)
    one = processed(processor, rows(1)[:1])
    drawn = sampled(judge, one, 1_000, max_tokens=3, temperature=4.0)
    begun = max({tuple(row[:2]) for row in drawn}, key=lambda start: sum(tuple(row[:2]) == start for row in drawn))
    thirds = torch.tensor([row[2] for row in drawn if tuple(row[:2]) == begun])
    start = torch.tensor([begun])
    longer = {
        **one,
        "input_ids": torch.cat([one["input_ids"], start], dim=1),
        "attention_mask": torch.cat([one["attention_mask"], torch.ones_like(start)], dim=1),
        "mm_token_type_ids": torch.cat([one["mm_token_type_ids"], torch.zeros_like(start)], dim=1),
    }
    with torch.no_grad():
        told = (judge(**longer, logits_to_keep=1).logits[0, -1] / 4.0).softmax(-1)
    assert len(thirds) >= 20
    likely = int(told.argmax())
    share = float((thirds == likely).float().mean())
    sigma = float((told[likely] * (1 - told[likely]) / len(thirds)).sqrt())
    assert abs(share - float(told[likely])) < 4 * sigma


def test_rollouts_of_a_prompt_differ_and_a_seed_repeats_them(judge: Any, prompts: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    first = sampled(judge, prompts, 4, temperature=2.0)
    torch.manual_seed(0)
    assert sampled(judge, prompts, 4, temperature=2.0) == first
    assert len({tuple(row) for row in first[:4]}) > 1


def test_top_p_leaves_out_what_is_unlikely(judge: Any, prompts: dict[str, torch.Tensor]) -> None:
    greedy = sampled(judge, prompts, 2, temperature=0.0)
    assert sampled(judge, prompts, 2, temperature=4.0, top_p=1e-6) == greedy


def test_the_attention_of_the_model_is_put_back(
    judge: Any, prompts: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = judge.config.text_config._attn_implementation
    sampled(judge, prompts, 2, max_tokens=2)
    assert judge.config.text_config._attn_implementation == before

    def fail(*_: Any) -> None:
        assert judge.config.text_config._attn_implementation == ATTENTION
        raise RuntimeError("in the midst of it")

    monkeypatch.setattr("edit_rrm_training.judge.shared_prefix._draw", fail)
    with pytest.raises(RuntimeError, match="in the midst of it"):
        sampled(judge, prompts, 2)
    assert judge.config.text_config._attn_implementation == before


def test_one_row_of_each_prompt_is_what_the_processor_makes_of_them(processor: Any) -> None:
    chats = rows(3)
    expected = processed(processor, chats)
    repeated = [row for row in chats for _ in range(2)]
    of_all = processed(processor, repeated)
    lengths = of_all["attention_mask"].sum(1).tolist()
    ids = [row[-length:].tolist() for row, length in zip(of_all["input_ids"], lengths, strict=True)]
    kinds = [row[-length:].tolist() for row, length in zip(of_all["mm_token_type_ids"], lengths, strict=True)]
    made = one_of_each(
        ids,
        [row["images"] for row in repeated],
        {
            "pixel_values": of_all["pixel_values"],
            "image_grid_thw": of_all["image_grid_thw"],
            "mm_token_type_ids": kinds,
        },
        2,
        processor.tokenizer.pad_token_id,
    )
    assert set(made) == set(expected)
    for name, value in expected.items():
        assert torch.equal(made[name], value), name


def test_only_models_that_were_tested_are_shared(judge: Any) -> None:
    from peft import LoraConfig, get_peft_model

    assert can_share(judge)
    other = type("Other", (), {"config": type("Config", (), {"model_type": "llava"})})()
    assert not can_share(other)
    adapted = get_peft_model(
        AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE), LoraConfig(r=2, target_modules=["q_proj"])
    )
    assert not can_share(adapted)
