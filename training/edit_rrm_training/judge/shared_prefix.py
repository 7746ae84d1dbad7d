"""Rollouts of one prompt share its keys and values, where no vLLM is there to generate.

`generate` copies a prompt N times, reads it N times and attends to N copies of its cache at every token. Here every
prompt is read once; at each token all rollouts' queries of a prompt meet its one cache, and each rollout's own tokens
are attended to besides. What is sampled has the same distribution (tested against `generate`, greedily).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTENTION: Final = "edit_rrm_shared_prefix"
"""Name of `attend` in Transformers' registry of attention functions."""

SUPPORTED: Final = ("qwen2_5_vl",)
"""Model types whose positions after the prompt are known to be `rope_deltas` and a count, and that were tested."""


class SharedPrefix:
    """Keys and values of P prompts, and of N continuations of each, in rows p * N + n."""

    def __init__(self, prompts: Any, mask: torch.Tensor, rollouts: int, room: int) -> None:
        """Take over a filled cache.

        Args:
            prompts: Transformers' `DynamicCache` of the P prompts, L positions each.
            mask: Where a prompt has a token, shape (P, L).
            rollouts: N.
            room: Tokens that a continuation may have.
        """
        self.rollouts = rollouts
        self.length = 0
        self.keys = [layer.keys.transpose(-1, -2).contiguous() for layer in prompts.layers]
        self.values = [layer.values for layer in prompts.layers]
        self._own = []
        for layer in prompts.layers:
            count, heads, _, width = layer.keys.shape
            shape = (count * rollouts, heads, room, width)
            self._own.append((layer.keys.new_empty(shape), layer.keys.new_empty(shape)))
        self.bias = torch.zeros(mask.shape, device=mask.device).masked_fill(mask == 0, -torch.inf)[:, None, None]

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Add one token's keys and values to a layer, and return those of the continuations so far."""
        own_keys, own_values = self._own[layer]
        own_keys[:, :, self.length] = keys[:, :, 0]
        own_values[:, :, self.length] = values[:, :, 0]
        return own_keys[:, :, : self.length + 1], own_values[:, :, : self.length + 1]


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    shared_prefix: SharedPrefix,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one new token per rollout over its prompt and what it has written, as Transformers calls it.

    Args:
        module: The attention layer; its `layer_idx` says which.
        query: Shape (P * N, query heads, 1, width).
        key: Of the continuations, shape (P * N, key heads, t, width).
        value: As `key`.
        attention_mask: Unused: the prompts' padding is masked by `shared_prefix`, and continuations have none.
        scaling: Of the scores.
        shared_prefix: The prompts' keys and values.

    Returns:
        Shape (P * N, 1, query heads, width), and no weights.
    """
    rows, heads, width = query.shape[0], query.shape[1], query.shape[3]
    shared_keys = shared_prefix.keys[module.layer_idx]
    prompts, kv_heads, length = shared_keys.shape[0], shared_keys.shape[1], shared_keys.shape[3]
    count, per_head = shared_prefix.rollouts, heads // kv_heads
    own_query = query.view(rows, kv_heads, per_head, width)
    together = own_query.view(prompts, count, kv_heads, per_head, width).transpose(1, 2)
    scores = together.reshape(prompts, kv_heads, count * per_head, width) @ shared_keys
    scores = scores * scaling + shared_prefix.bias.to(scores.dtype)
    scores = scores.view(prompts, kv_heads, count, per_head, length).transpose(1, 2)
    own_scores = own_query @ key.transpose(-1, -2) * scaling
    weights = torch.cat([scores.reshape(rows, kv_heads, per_head, length), own_scores], dim=-1)
    weights = weights.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    shared, own = weights.split([length, key.shape[2]], dim=-1)
    shared = shared.view(prompts, count, kv_heads, per_head, length).transpose(1, 2)
    seen = shared.reshape(prompts, kv_heads, count * per_head, length) @ shared_prefix.values[module.layer_idx]
    seen = seen.view(prompts, kv_heads, count, per_head, width).transpose(1, 2).reshape(own_query.shape)
    return (seen + own @ value).reshape(rows, 1, heads, width), None


def can_share(model: Any) -> bool:
    """Whether `sample_rollouts` knows the model: not so for adapters, and types it was not tested with."""
    return getattr(model.config, "model_type", None) in SUPPORTED and not hasattr(model, "peft_config")


def one_of_each(
    prompt_ids: Sequence[Sequence[int]],
    images: Sequence[Sequence[object]],
    fields: Mapping[str, Any],
    rollouts: int,
    pad: int,
) -> dict[str, torch.Tensor]:
    """What `sample_rollouts` takes, from what TRL's `GRPOTrainer` made of rows of which N in a row are one prompt.

    Args:
        prompt_ids: Token ids of P * N rows.
        images: Their images.
        fields: What the processor made of them besides: `pixel_values`, `image_grid_thw`, `mm_token_type_ids`.
        rollouts: N.
        pad: Token to pad prompts with, on the left.
    """
    from trl.trainer.utils import pad as padded
    from trl.trainer.utils import split_pixel_values_by_grid

    def left(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
        tensors = [torch.tensor(row) for row in rows[::rollouts]]
        filled: torch.Tensor = padded(tensors, padding_value=value, padding_side="left")
        return filled

    by_row = split_pixel_values_by_grid({**fields, "num_images": [len(row) for row in images]})
    return {
        "input_ids": left(prompt_ids, pad),
        "attention_mask": left([[1] * len(row) for row in prompt_ids], 0),
        "mm_token_type_ids": left(fields["mm_token_type_ids"], 0),
        "pixel_values": torch.cat(list(by_row["pixel_values"][::rollouts])),
        "image_grid_thw": torch.cat(list(by_row["image_grid_thw"][::rollouts])),
    }


@torch.no_grad()
def sample_rollouts(
    model: Any,
    prompts: Mapping[str, torch.Tensor],
    rollouts: int,
    *,
    max_tokens: int,
    temperature: float,
    top_p: float,
    stop: Sequence[int],
) -> list[list[int]]:
    """Sample N continuations of each of P prompts.

    Args:
        model: A judge of a `SUPPORTED` type.
        prompts: Its processor's output: `input_ids` and `attention_mask`, shape (P, L), padded on the left, and images.
        rollouts: N.
        max_tokens: Tokens that a continuation may have.
        temperature: 0 takes the likeliest token.
        top_p: Share of the probability that is sampled from.
        stop: Tokens that end a continuation; it is part of it.

    Returns:
        P * N lists of token ids, those of a prompt side by side. A list that does not end in `stop` was cut off.
    """
    warpers = _warpers(temperature, top_p)
    read = model(**prompts, use_cache=True, logits_to_keep=1)
    mask = prompts["attention_mask"]
    cache = SharedPrefix(read.past_key_values, mask, rollouts, max_tokens)
    logits = read.logits[:, -1].repeat_interleave(rollouts, dim=0)
    # A prompt's tokens may have fewer positions than tokens (images), and padding has none.
    start = (mask.sum(1) + model.base_model.rope_deltas.view(-1)).repeat_interleave(rollouts)
    ends = torch.tensor(list(stop), device=mask.device)
    ended = torch.zeros(len(start), dtype=torch.bool, device=mask.device)
    written: list[torch.Tensor] = []
    with _attending(model):
        for step in range(max_tokens):
            token = _draw(logits, warpers, temperature)
            written.append(token)
            ended |= torch.isin(token, ends)
            if ended.all() or step + 1 == max_tokens:
                break
            cache.length = step
            states = model.base_model.language_model(
                input_ids=token[:, None],
                attention_mask={"full_attention": None},
                position_ids=(start + step).view(1, -1, 1).expand(3, -1, 1),
                past_key_values=cache,
                use_cache=True,
                shared_prefix=cache,
            )
            logits = model.lm_head(states.last_hidden_state[:, -1])
    stops = set(stop)
    return [_until(row, stops) for row in torch.stack(written, dim=1).tolist()]


def _until(tokens: list[int], stop: set[int]) -> list[int]:
    end = next((index for index, token in enumerate(tokens) if token in stop), len(tokens))
    return tokens[: end + 1]


def _draw(logits: torch.Tensor, warpers: Any, temperature: float) -> torch.Tensor:
    if temperature == 0.0:
        return logits.argmax(-1)
    probabilities = warpers(None, logits.float()).softmax(-1)
    return torch.multinomial(probabilities, 1).flatten()


def _warpers(temperature: float, top_p: float) -> Any:
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    warpers = LogitsProcessorList()
    if temperature not in (0.0, 1.0):
        warpers.append(TemperatureLogitsWarper(temperature))
    if top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)
    config = model.base_model.language_model.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
