"""Rollouts of one prompt in one row: the prompt, with its images, is read once for all of them.

What TRL's `GRPOTrainer` computes the loss on repeats the prompt in front of every rollout. A judge's prompt is mostly
images and is the longer part, so that most of what is computed, forwards and backwards, is the same N times over. Here
a row holds a prompt and its rollouts behind it, as branches that do not see each other:

    p p p q | q a a a | q b b | q c c c c

Every branch begins with a copy of the prompt's last token q (the one before is left out), so that a token is predicted
from the place in front of it, everywhere. Positions are those each token has in a row of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from edit_rrm_training.judge.shared_prefix import SUPPORTED

_IGNORE: Final = -100
_PAD: Final = -1


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the tokens of B rollouts go: G rows of T places, one row a prompt."""

    firsts: torch.Tensor
    """A rollout of each row's prompt, shape (G,)."""
    rows: torch.Tensor
    """The rollout whose token stands at a place, shape (G, T)."""
    columns: torch.Tensor
    """And where it stood in that rollout, shape (G, T)."""
    branches: torch.Tensor
    """0 for a prompt, 1 and up for its rollouts, -1 for padding, shape (G, T)."""
    answers: torch.Tensor
    """Whether a place holds a token of a completion, shape (G, T)."""

    def take(self, values: torch.Tensor) -> torch.Tensor:
        """What belongs to the places, of values for each rollout's tokens: shape (..., B, L) to (..., G, T)."""
        return values[..., self.rows, self.columns]

    @property
    def visible(self) -> torch.Tensor:
        """Whether a place (third axis) sees another (fourth), shape (G, 1, T, T)."""
        same = self.branches[:, :, None] == self.branches[:, None, :]
        length = self.branches.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=same.device).tril()
        return ((same | (self.branches == 0)[:, None, :]) & causal)[:, None]

    def spread(self, values: torch.Tensor, width: int, length: int) -> torch.Tensor:
        """Put what was computed for the next token of each place back to the rollouts' completions.

        Args:
            values: Shape (G, T - 1).
            width: Tokens C of the longest completion.
            length: Tokens L of a rollout's row, of which a completion is the last C.

        Returns:
            Shape (B, C); 0 where a completion has ended.
        """
        group, place = self.answers.nonzero(as_tuple=True)
        rollouts = int(self.rows.max()) + 1
        row, column = self.rows[group, place], self.columns[group, place] - (length - width)
        return values.new_zeros(rollouts, width).index_put((row, column), values[group, place - 1])


def pack(mask: torch.Tensor, width: int, prompts: Sequence[int]) -> Packing:
    """Lay out rollouts behind their prompts.

    Args:
        mask: Where a rollout has a token, shape (B, L); padding is on a prompt's left and a completion's right.
        width: Tokens C of the longest completion, the last of the L.
        prompts: Number of each rollout's prompt, B of 0 to G - 1.
    """
    length = mask.shape[1]
    seen = mask.bool().cpu()
    layout: list[list[tuple[torch.Tensor, torch.Tensor, int, int]]] = [[] for _ in range(max(prompts) + 1)]
    for row, group in enumerate(prompts):
        columns = seen[row].nonzero().flatten()
        start = int((columns < length - width).sum()) - 1
        if not layout[group]:
            layout[group].append((columns[:start], columns[:0], row, 0))
        layout[group].append((columns[start:], columns[start + 1 :], row, len(layout[group])))
    total = max(sum(len(columns) for columns, *_ in parts) for parts in layout)
    shape = (len(layout), total)
    rows = torch.zeros(shape, dtype=torch.long)
    places = torch.zeros(shape, dtype=torch.long)
    branches = torch.full(shape, _PAD)
    answers = torch.zeros(shape, dtype=torch.bool)
    for group, parts in enumerate(layout):
        at = 0
        for columns, written, row, branch in parts:
            end = at + len(columns)
            rows[group, at:end], places[group, at:end], branches[group, at:end] = row, columns, branch
            answers[group, end - len(written) : end] = True
            at = end
    device = mask.device
    return Packing(
        torch.tensor([parts[0][2] for parts in layout], device=device),
        *(tensor.to(device) for tensor in (rows, places, branches, answers)),
    )


def prompts_of(
    ids: torch.Tensor, mask: torch.Tensor, width: int, images: list[torch.Tensor], grids: list[torch.Tensor]
) -> list[int]:
    """Which prompt each of B rollouts has, images included, numbered in the order they come first.

    TRL shuffles rollouts, and the two sides of a pair may differ by nothing but their images: so it is what they hold
    that is compared.

    Args:
        ids: Shape (B, L).
        mask: Shape (B, L).
        width: Tokens of the longest completion, the last of the L.
        images: `pixel_values` of every rollout.
        grids: `image_grid_thw` of every rollout.
    """
    prompts = ids.masked_fill(mask == 0, _PAD)[:, : ids.shape[1] - width].tolist()
    firsts: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    numbers: list[int] = []
    for row, prompt in enumerate(prompts):
        known = firsts.setdefault(tuple(prompt), [])
        alike = (
            number
            for other, number in known
            if torch.equal(grids[row], grids[other]) and torch.equal(images[row], images[other])
        )
        number = next(alike, None)
        if number is None:
            number = max(numbers, default=-1) + 1
            known.append((row, number))
        numbers.append(number)
    return numbers


def can_pack(model: Any) -> bool:
    """Whether rollouts of the model may be packed: it is of a type that was tested, and its attention takes masks."""
    config = model.config
    if getattr(config, "model_type", None) not in SUPPORTED:
        return False
    text = config.get_text_config()
    return config._attn_implementation == "sdpa" and "sliding_attention" not in (text.layer_types or ())


def packed_inputs(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    width: int,
    *,
    pixel_values: torch.Tensor,
    image_grid_thw: torch.Tensor,
    num_images: list[int],
    mm_token_type_ids: torch.Tensor,
) -> tuple[Packing, dict[str, torch.Tensor]]:
    """What a model takes to score B rollouts behind their prompts, from what TRL would score them on one by one.

    Args:
        model: A judge that `can_pack`, as it was loaded or wrapped.
        ids: `input_ids`, shape (B, L).
        mask: Shape (B, L).
        width: Tokens C of the longest completion, the last of the L.
        pixel_values: Patches of all images.
        image_grid_thw: Shape (images, 3).
        num_images: Of every rollout.
        mm_token_type_ids: Shape (B, L).

    Returns:
        The packing, and the model's keyword arguments; `labels` are the completions' tokens.
    """
    from trl.trainer.utils import split_pixel_values_by_grid

    images = {"pixel_values": pixel_values, "image_grid_thw": image_grid_thw, "num_images": num_images}
    split = split_pixel_values_by_grid(images)
    patches, grids = list(split["pixel_values"]), list(split["image_grid_thw"])
    packing = pack(mask, width, prompts_of(ids, mask, width, patches, grids))
    positions, _ = _rope(model)(ids, mm_token_type_ids, image_grid_thw=image_grid_thw, attention_mask=mask)
    packed = packing.take(ids)
    firsts = packing.firsts.tolist()
    return packing, {
        "input_ids": packed,
        "attention_mask": packing.visible,
        "position_ids": packing.take(positions),
        "labels": packed.masked_fill(~packing.answers, _IGNORE),
        "pixel_values": torch.cat([patches[row] for row in firsts]),
        "image_grid_thw": torch.cat([grids[row] for row in firsts]),
    }


def _rope(model: Any) -> Any:
    return next(module.get_rope_index for module in model.modules() if hasattr(module, "get_rope_index"))
