r"""Judges of any size that judge as the shipped one does: the cost of a large model, and nano's answers.

    python -m benchmarks.widened --size 40M --out build/judges/40M

Speed has to be measured at sizes where the engine decides, and on answers that end where a real judge's end; random
weights write nonsense until they are cut off. Here the shipped judge's weights lie in a corner of wider ones, and what
is added computes zeros, or passes through: the same verdicts, for the price of all the parameters.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file

from edit_rrm.card import CARD_FILE

NANO: Final = Path(__file__).parents[1] / "service" / "edit_rrm_service" / "judges" / "nano"
_WIDER: Final = 4
"""The text's widths are multiplied by so much. Its root is a power of 2, and norms are rescaled without rounding."""
_LEAST: Final = 56
"""Pixels a side that the least of images is scaled up to: four tokens."""
_CONTEXT: Final = 4_096
"""Tokens; nano's positions end there."""
_AS_THEY_ARE: Final = (
    "patch_embed.proj.weight",
    "merger.ln_q.weight",
    "merger.mlp.0.weight",
    "merger.mlp.0.bias",
)


@dataclass(frozen=True, slots=True)
class Wide:
    """What nano grows to: text four times as wide, and deeper; what sees no wider, with larger feed-forward layers.

    In Qwen2.5-VL-7B the vision tower, which has four patches for a token of an image, costs about a third of what the
    text model spends on that token. Sizes here are chosen to keep that share.
    """

    text_layers: int
    text_hidden: int
    """Of the feed-forward layers."""
    vision_layers: int
    vision_hidden: int
    """Of the feed-forward layers."""


SIZES: Final[dict[str, Wide]] = {
    "40M": Wide(text_layers=8, text_hidden=1408, vision_layers=4, vision_hidden=1920),
    "150M": Wide(text_layers=17, text_hidden=2816, vision_layers=8, vision_hidden=3584),
}


def widen(size: Wide, target: Path, source: Path = NANO, *, side: int | None = None) -> int:
    """Write a wider checkpoint.

    Args:
        size: How large.
        target: Its folder.
        source: The checkpoint it judges like: a Qwen2.5-VL with tied embeddings.
        side: As in `resized`.

    Returns:
        The number of its parameters.

    Raises:
        ValueError: The source is larger than that somewhere.
        OSError: A folder cannot be read or written.
    """
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    text, vision = config["text_config"], config["vision_config"]
    if size.text_layers < text["num_hidden_layers"] or size.vision_layers < vision["depth"]:
        raise ValueError(f"{source} has more layers than {size}")
    if size.text_hidden < text["intermediate_size"] or size.vision_hidden < vision["intermediate_size"]:
        raise ValueError(f"{source} has wider feed-forward layers than {size}")
    weights = _widened(load_file(source / "model.safetensors"), config, size)
    resized(target, source, side=side)
    (target / "config.json").write_text(json.dumps(_config(config, size), indent=2) + "\n", encoding="utf-8")
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return sum(value.numel() for value in weights.values())


def resized(target: Path, source: Path = NANO, *, side: int | None) -> None:
    """Write a checkpoint that looks at larger images, or smaller ones.

    Args:
        target: Its folder.
        source: The checkpoint it copies.
        side: Pixels a side that it scales larger square images down to; the source's where left out. At another size
            than the source was trained on, what it answers means nothing and only its speed does: probabilities of yes
            and no are then taken however small they are together.

    Raises:
        OSError: A folder cannot be read or written.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    if side is not None:
        card = json.loads((source / CARD_FILE).read_text(encoding="utf-8"))
        card |= {"image": {"min_pixels": _LEAST**2, "max_pixels": side**2}, "label_mass_floor": 0.0}
        card["max_model_len"] = _CONTEXT
        (target / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _config(config: Mapping[str, Any], size: Wide) -> dict[str, Any]:
    text, vision = dict(config["text_config"]), dict(config["vision_config"])
    for name in ("hidden_size", "num_attention_heads", "num_key_value_heads"):
        text[name] *= _WIDER
    text |= {
        "num_hidden_layers": size.text_layers,
        "intermediate_size": size.text_hidden,
        "layer_types": ["full_attention"] * size.text_layers,
        # A mean over four times as many numbers, three quarters of which are zero.
        "rms_norm_eps": text["rms_norm_eps"] / _WIDER,
    }
    vision |= {
        "out_hidden_size": text["hidden_size"],
        "depth": size.vision_layers,
        "intermediate_size": size.vision_hidden,
        "fullatt_block_indexes": list(range(size.vision_layers)),
    }
    return {**config, "text_config": text, "vision_config": vision}


def _widened(weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], size: Wide) -> dict[str, torch.Tensor]:
    text, vision = config["text_config"], config["vision_config"]
    wide_text = _WIDER * text["hidden_size"]
    keys = _WIDER * weights["model.layers.0.self_attn.k_proj.weight"].shape[0]
    shapes = {
        "self_attn.q_proj.weight": (wide_text, wide_text),
        "self_attn.q_proj.bias": (wide_text,),
        "self_attn.k_proj.weight": (keys, wide_text),
        "self_attn.k_proj.bias": (keys,),
        "self_attn.v_proj.weight": (keys, wide_text),
        "self_attn.v_proj.bias": (keys,),
        "self_attn.o_proj.weight": (wide_text, wide_text),
        "mlp.gate_proj.weight": (size.text_hidden, wide_text),
        "mlp.up_proj.weight": (size.text_hidden, wide_text),
        "mlp.down_proj.weight": (wide_text, size.text_hidden),
    }
    found = {
        "model.embed_tokens.weight": _padded(weights["model.embed_tokens.weight"], (text["vocab_size"], wide_text)),
        "model.norm.weight": _norm(weights["model.norm.weight"]),
    }
    for number in range(size.text_layers):
        layer = f"model.layers.{number}."
        for name in ("input_layernorm.weight", "post_attention_layernorm.weight"):
            # A layer that is added has the norms of the first; what it computes from them is zero.
            found[layer + name] = _norm(weights.get(layer + name, weights[f"model.layers.0.{name}"]))
        for name, shape in shapes.items():
            found[layer + name] = _padded(weights.get(layer + name), shape)
    return found | _vision(weights, vision, size, wide_text)


def _vision(
    weights: Mapping[str, torch.Tensor], vision: Mapping[str, Any], size: Wide, out: int
) -> dict[str, torch.Tensor]:
    width = vision["hidden_size"]
    found = {name: weights[f"visual.{name}"] for name in _AS_THEY_ARE}
    found["merger.mlp.2.weight"] = _padded(
        weights["visual.merger.mlp.2.weight"], (out, width * vision["spatial_merge_size"] ** 2)
    )
    found["merger.mlp.2.bias"] = _padded(weights["visual.merger.mlp.2.bias"], (out,))
    shapes = {
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "mlp.gate_proj.weight": (size.vision_hidden, width),
        "mlp.gate_proj.bias": (size.vision_hidden,),
        "mlp.up_proj.weight": (size.vision_hidden, width),
        "mlp.up_proj.bias": (size.vision_hidden,),
        "mlp.down_proj.weight": (width, size.vision_hidden),
        "mlp.down_proj.bias": (width,),
    }
    for number in range(size.vision_layers):
        block = f"blocks.{number}."
        for name in ("norm1.weight", "norm2.weight"):
            found[block + name] = weights.get(f"visual.{block}{name}", weights[f"visual.blocks.0.{name}"])
        for name, shape in shapes.items():
            found[block + name] = _padded(weights.get(f"visual.{block}{name}"), shape)
    return {f"visual.{name}": value.clone() for name, value in found.items()}


def _padded(weight: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor:
    """A weight in the first corner of a larger one of zeros; nothing but zeros where there is none."""
    found = torch.zeros(shape, dtype=torch.bfloat16)
    if weight is not None:
        found[tuple(slice(length) for length in weight.shape)] = weight
    return found


def _norm(weight: torch.Tensor) -> torch.Tensor:
    """An RMS norm's weight: a mean square over more zeros is smaller, and what is divided by its root larger."""
    return _padded(weight / _WIDER**0.5, (_WIDER * len(weight),))


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["nano", *SIZES], required=True)
    parser.add_argument("--out", type=Path, required=True, help="The checkpoint's folder.")
    parser.add_argument(
        "--side",
        type=int,
        help="Pixels a side that it scales larger images down to, such as 504. [nano scales all to 84]",
    )
    arguments = parser.parse_args()
    if arguments.size == "nano":
        resized(arguments.out, side=arguments.side)
    else:
        parameters = widen(SIZES[arguments.size], arguments.out, side=arguments.side)
        print(f"{arguments.out}: {parameters / 1e6:.1f}M parameters")


if __name__ == "__main__":
    main()
