"""A reward manager for verl-omni, which takes an edit's source from its prompt: data sets stay as they are.

In verl-omni's configuration::

    reward.reward_manager.source=importlib
    reward.reward_manager.name=EditRrmRewardManager
    reward.reward_manager.module.path=pkg://edit_rrm_client.adapters.verl_manager
    +reward.reward_kwargs.url=http://judge:8000

Everything in ``reward_kwargs`` is an argument of `verl.compute_score`; that module says what becomes of an edit that
was not measured. Written against verl 0.9.1, whose loader asks for no base class, only for the methods below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edit_rrm_client.adapters.verl import SOURCE_KEYS, compute_score, unpacked
from edit_rrm_client.images import ImageInput


class EditRrmRewardManager:
    """What verl's reward loop asks for rewards."""

    def __init__(self, config: Any, tokenizer: Any = None, compute_score: Any = None, **_: Any) -> None:
        """Read the settings.

        Args:
            config: verl's; ``reward.reward_kwargs`` are this manager's.
            tokenizer: Is verl's, for managers that read text.
            compute_score: Is verl's, for managers that score by a function.

        Raises:
            ValueError: There is no URL in the settings.
        """
        self._settings = dict(config.reward.get("reward_kwargs") or {})
        if not self._settings.get("url"):
            raise ValueError("no judge to ask: set +reward.reward_kwargs.url=http://host:port")

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: Sequence[float]) -> Any:
        """Rewards of a batch as a tensor of shape (B, 1), as verl-omni's diffusion trainers want them."""
        import torch

        return torch.tensor(scores, dtype=torch.float32).unsqueeze(-1)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """Judge the edit of a batch of one.

        Returns:
            ``reward_score`` from 0 to 1, and ``reward_extra_info`` with ``measured`` and ``outcome``.

        Raises:
            ValueError: The batch is not of one edit, or its prompt not of one image.
            RewardClientError: As `verl.VerlReward`.
        """
        if len(data) != 1:
            raise ValueError(f"{len(data)} samples came where one was expected")
        item = data[0]
        about = item.non_tensor_batch
        extra_info = dict(about.get("extra_info") or {})
        if all(extra_info.get(key) is None for key in SOURCE_KEYS):
            extra_info[SOURCE_KEYS[0]] = source_in(about.get("raw_prompt"))
        score = await compute_score(
            item.batch["responses"], about["reward_model"]["ground_truth"], extra_info, **self._settings
        )
        info = {"measured": score["measured"], "outcome": score["outcome"]}
        return {"reward_score": score["score"], "reward_extra_info": info}


def source_in(messages: Sequence[Mapping[str, Any]] | None) -> ImageInput:
    """The one image of a prompt: the edit's source.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [
        part
        for message in (() if messages is None else messages)
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part.get("type") == "image"
    ]
    if len(found) != 1:
        raise ValueError(
            f"{len(found)} images in the prompt; an edit has one source: put it under {SOURCE_KEYS[0]!r} in extra_info"
        )
    return unpacked(found[0])
