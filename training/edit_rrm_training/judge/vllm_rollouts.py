"""Rollouts through vLLM in the trainer's own process, where TRL 1.16 and vLLM 0.32 do not understand each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any


def one_pad_per_image(prompt: Sequence[int], pad: int) -> list[int]:
    """Tokens of a prompt with one placeholder for each image, as vLLM takes them.

    A processor writes as many placeholders as an image has visual tokens, and TRL passes those on; vLLM multiplies
    placeholders itself, so it would read every image followed by as many more that stand for none.

    Args:
        prompt: Token ids in which no two images touch, as every chat template of a VLM that delimits its images.
        pad: The placeholder's id.
    """
    return [token for token, run in groupby(prompt) for token in ([token] if token == pad else run)]


def reload_weights(generation: Any) -> None:
    """Give vLLM the trainer's weights and forget what it computed with the old ones, keys, values and images' features.

    TRL hands them over one by one, into parameters that vLLM's CPU build no longer has once it has packed them for its
    kernels, and leaves the features of images it has seen, which are stale where the vision tower is trained.

    Args:
        generation: TRL's `VLLMGeneration`, colocated.
    """
    engine = generation.llm.llm_engine
    engine.model_executor.driver_worker.model_runner.reload_weights(weights_iterator=generation._iter_named_params())
    # The scheduler's half of the same cache: it would count on features that are gone.
    engine.reset_encoder_cache()
    generation.llm.reset_prefix_cache()
