"""Batched forward passes of a Qwen-VL in plain PyTorch: left padding, explicit M-RoPE positions, a key-value cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from edit_rrm_service.engines.base import FinishReason, Sampling

_GREEDY_BELOW = 1e-5
"""Temperatures under this are greedy, as on vLLM: dividing by them overflows."""


@dataclass(slots=True)
class Row:
    """One sequence of a batch."""

    sampling: Sampling
    limit: int
    """Most tokens to generate: what was asked for, or what the context leaves."""
    cancelled: Callable[[], bool]
    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        """Seed the row's own random numbers, so that what shares its batch cannot change its samples."""
        if self.sampling.temperature >= _GREEDY_BELOW:
            self.generator = torch.Generator()
            if self.sampling.seed is None:
                self.generator.seed()
            else:
                self.generator.manual_seed(self.sampling.seed)

    def choose(self, logits: torch.Tensor) -> int:
        """Pick the next token from float32 logits on the CPU.

        Raises:
            ValueError: The model computed no numbers.
        """
        best = int(logits.argmax())  # a NaN, where there is one
        if not torch.isfinite(logits[best]):
            raise ValueError("the logits are not finite: the weights are broken, or the dtype overflows")
        if self.generator is None:
            return best
        weights = torch.softmax(logits / self.sampling.temperature, dim=-1)
        if self.sampling.top_p < 1.0:
            ranked, order = weights.sort(descending=True)
            outside = ranked.cumsum(-1) - ranked >= self.sampling.top_p
            weights = torch.zeros_like(weights).scatter(-1, order, ranked.masked_fill(outside, 0.0))
        return int(torch.multinomial(weights, 1, generator=self.generator))


@torch.inference_mode()
def next_logprobs(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Natural-log probabilities of the next token of every row (rows x vocabulary), in float32 on the CPU."""
    logits = model(**inputs, position_ids=_positions(model, inputs), use_cache=False, logits_to_keep=1).logits
    return torch.log_softmax(logits[:, -1].float(), dim=-1).cpu()


@torch.inference_mode()
def decode(model: Any, inputs: dict[str, Any], rows: Sequence[Row], stop: frozenset[int]) -> None:
    """Generate into `rows`. A row ends with a stop token (not kept), at its limit, or when it is cancelled."""
    positions = _positions(model, inputs)
    # Continue each row's positions from its own end: image tokens share positions, so that is not the token count.
    following = positions.amax(dim=(0, 2)) + 1
    mask = inputs["attention_mask"]
    output = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    active = list(rows)
    while True:
        logits = output.logits[:, -1].float().cpu()
        chosen = [_advance(row, logits[index], stop) for index, row in enumerate(active)]
        keep = [index for index, row in enumerate(active) if row.finish_reason is None and not row.cancelled()]
        if not keep:
            return
        cache = output.past_key_values
        if len(keep) < len(active):
            picked = torch.tensor(keep, device=mask.device)
            cache.batch_select_indices(picked)
            active, mask, following = [active[index] for index in keep], mask[picked], following[picked]
        tokens = torch.tensor([[chosen[index]] for index in keep], device=mask.device)
        mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
        output = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=following.view(1, -1, 1).expand(3, -1, 1),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        following = following + 1


def _advance(row: Row, logits: torch.Tensor, stop: frozenset[int]) -> int:
    token = row.choose(logits)
    if token in stop:
        row.finish_reason = "stop"
    else:
        row.tokens.append(token)
        if len(row.tokens) >= row.limit:
            row.finish_reason = "length"
    return token


def _positions(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Compute M-RoPE's three position rows (3 x batch x length), each sequence counted from its own first token."""
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs.get("image_grid_thw"),
        attention_mask=inputs["attention_mask"],
    )
    result: torch.Tensor = positions
    return result
