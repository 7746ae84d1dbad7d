"""Small random-weight Qwen-VL checkpoints: real classes, formats and chat templates; only the weights are babble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edit_rrm.prompts import load_prompt_set, prompt_set_names

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

TEMPLATES = Path(__file__).parent / "templates"
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_WORDS = (
    "Yes",
    "yes",
    "No",
    "no",
    "follow",
    "keep",
    "quality",
    "circle",
    "square",
    "red",
    "blue",
    "Is the",
    "Does the",
)
_VOCAB = 1_024
_SEED = 7


def build_qwen2_5_vl(folder: Path) -> Path:
    """Write a Qwen2.5-VL of about half a million parameters."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _tokenizer(TEMPLATES / "qwen2_5_vl.jinja")
    config = Qwen2_5_VLConfig(
        text_config={
            **_text(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
            "use_sliding_window": False,
        },
        vision_config={
            **_vision(),
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        **_token_ids(tokenizer),
    )
    return _save(folder, Qwen2_5_VLForConditionalGeneration, config, tokenizer, patch_size=14)


def build_qwen3_vl(folder: Path) -> Path:
    """Write a Qwen3-VL of about half a million parameters."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = _tokenizer(TEMPLATES / "qwen3_vl.jinja")
    config = Qwen3VLConfig(
        text_config={
            **_text(tokenizer),
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            **_vision(),
            "patch_size": 16,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0],
        },
        **_token_ids(tokenizer),
    )
    return _save(folder, Qwen3VLForConditionalGeneration, config, tokenizer, patch_size=16)


def _tokenizer(template: Path) -> Qwen2Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCAB - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(), trainer)
    model = json.loads(bpe.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        chat_template=template.read_text(encoding="utf-8"),
        model_max_length=4_096,
    )


def _corpus() -> Sequence[str]:
    sets = [load_prompt_set(name) for name in prompt_set_names()]
    texts = [text for item in sets for text in (item.system, *item.templates.values())]
    return [*texts, *(word for word in _WORDS for _ in range(50))]


def _text(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": _VOCAB,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4_096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        # Large enough that the best token of babble wins by far more than rounding.
        "initializer_range": 0.15,
    }


def _vision() -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "out_hidden_size": 128,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": 0.1,
    }


def _token_ids(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _save(folder: Path, model_class: Any, config: Any, tokenizer: Qwen2Tokenizer, patch_size: int) -> Path:
    import torch
    from transformers import (
        GenerationConfig,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    torch.manual_seed(_SEED)
    model = model_class(config)
    stop = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    # The defaults that Qwen2.5-VL ships with: a judge must not be decoded with them.
    model.generation_config = GenerationConfig(
        eos_token_id=stop, pad_token_id=stop[1], do_sample=True, repetition_penalty=1.05, temperature=1e-6
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    images = Qwen2VLImageProcessor(patch_size=patch_size)
    template = tokenizer.chat_template
    if patch_size == 14:
        processor = Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    else:
        processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=template)
    processor.save_pretrained(folder)
    return folder
