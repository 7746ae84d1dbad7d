"""Growth: a deeper judge that starts out as what a shallower one already is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration

_LAYERS = "model.language_model.layers"
_ADDED = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
"""What a layer adds to the residual stream passes through these; zero, it adds nothing."""


def grow_into(
    small: Qwen2_5_VLForConditionalGeneration, large: Qwen2_5_VLForConditionalGeneration
) -> Qwen2_5_VLForConditionalGeneration:
    """Give a deeper judge the weights of a shallower one, so that it says what that one says.

    Each of the small one's language layers is followed by copies of itself, evenly, whose outputs are zero at first (so
    their own weights are in use from the second step on).

    Args:
        small: The judge that was trained.
        large: One with more language layers and the same dimensions otherwise; changed in place.

    Returns:
        `large`.

    Raises:
        ValueError: Another dimension differs; the message names the weight.
    """
    weights, target = small.state_dict(), large.state_dict()
    layers, wanted = (len(judge.model.language_model.layers) for judge in (small, large))
    grown: dict[str, torch.Tensor] = {}
    for name, value in target.items():
        source, added = _source(name, layers, wanted)
        if source not in weights or weights[source].shape != value.shape:
            raise ValueError(f"a judge can only grow in depth: {name} does not fit the smaller judge's")
        grown[name] = torch.zeros_like(value) if added else weights[source]
    large.load_state_dict(grown)
    return large


def _source(name: str, layers: int, wanted: int) -> tuple[str, bool]:
    """Which of the small judge's weights one of the large judge's comes from, and whether it has to be zero."""
    if not name.startswith(_LAYERS + "."):
        return name, False
    number, _, rest = name.removeprefix(_LAYERS + ".").partition(".")
    index = int(number) * layers // wanted
    copy = int(number) > 0 and (int(number) - 1) * layers // wanted == index
    return f"{_LAYERS}.{index}.{rest}", copy and rest in _ADDED
