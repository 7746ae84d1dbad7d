"""Small judges of the real class: a Qwen2.5-VL of a few million parameters, its tokenizer and chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edit_rrm_training.shapes.vocabulary import CANVAS

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration

PATCH: Final = 14
MERGE: Final = 2
CELL: Final = PATCH * MERGE
"""Side of what one visual token covers, in pixels: one place of the shapes world."""
SIDE: Final = CANVAS // CELL
"""Visual tokens along one side of an image."""
IMAGE_TOKENS: Final = SIDE**2
"""Visual tokens of one image of the shapes world: 9."""

SPECIAL_TOKENS: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Qwen2.5-VL's own special tokens, in its order."""

CHAT_TEMPLATE: Final = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's chat format, without its default system prompt."""

# GPT-2's byte-level pre-tokenizer as Qwen2 uses it: digits stand alone, words keep the space before them.
_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json")
"""What `build_tokenizer` writes beside a judge's weights."""


@dataclass(frozen=True, slots=True)
class NanoSize:
    """Dimensions of a small judge."""

    text_width: int = 192
    text_layers: int = 5
    text_heads: int = 6
    text_kv_heads: int = 2
    text_hidden: int = 512
    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    vision_hidden: int = 320
    vocabulary: int = 704


SIZES: Final[dict[str, NanoSize]] = {
    "pico": NanoSize(
        text_width=128,
        text_heads=4,
        text_hidden=304,
        vision_width=96,
        vision_layers=3,
        vision_heads=3,
        vision_hidden=256,
    ),
    "nano": NanoSize(),
    "micro": NanoSize(text_layers=12),
}
"""Named sizes that recipes refer to: 1.6M, 3.4M and 6.2M parameters. `micro` is `nano` with more layers, so that it can
grow from it."""


def build_tokenizer(texts: Iterable[str], size: NanoSize, folder: Path) -> None:
    """Train a byte-level BPE tokenizer on `texts` and write it, Qwen's special tokens and chat template to a folder."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 4096,
        },
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    _write(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
            "patch_size": PATCH,
            "merge_size": MERGE,
            "temporal_patch_size": 2,
            "min_pixels": CANVAS * CANVAS,
            "max_pixels": CANVAS * CANVAS,
            "size": {"shortest_edge": CANVAS * CANVAS, "longest_edge": CANVAS * CANVAS},
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "resample": 3,
            "rescale_factor": 1 / 255,
        },
    )


def build_model(size: NanoSize, special: dict[str, int], seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A randomly initialised judge.

    Args:
        size: Its dimensions.
        special: Token ids of `SPECIAL_TOKENS`.
        seed: Of the initialisation.
    """
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    head = size.text_width // size.text_heads
    # Rotations fall from 1 to 0.005 radians a position. Qwen's M-RoPE hands the fastest to time, then height, then
    # width: stills need none for time, and the three rows and columns of an image need fast ones (0.5 and more) to be
    # told apart, while the slow tail lets answers look up contents a few hundred tokens back.
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 300.0, "mrope_section": [0, 2, head // 2 - 2]}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": size.vocabulary,
            "hidden_size": size.text_width,
            "intermediate_size": size.text_hidden,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_heads,
            "num_key_value_heads": size.text_kv_heads,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-6,
            # The usual 0.02 suits widths in the thousands: here attention would start out uniform, and what it adds
            # would drown beside visual features of unit scale.
            "initializer_range": round(size.text_width**-0.5, 4),
            "bos_token_id": None,
            "eos_token_id": special["<|im_end|>"],
            "pad_token_id": special["<|endoftext|>"],
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": size.vision_hidden,
            "num_heads": size.vision_heads,
            "out_hidden_size": size.text_width,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "window_size": CANVAS,
            "fullatt_block_indexes": list(range(size.vision_layers)),
        },
        image_token_id=special["<|image_pad|>"],
        video_token_id=special["<|video_pad|>"],
        vision_start_token_id=special["<|vision_start|>"],
        vision_end_token_id=special["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = special["<|im_end|>"]
    model.generation_config.pad_token_id = special["<|endoftext|>"]
    return model


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
