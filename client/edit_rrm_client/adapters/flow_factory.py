"""A reward model for Flow-Factory, which imports it by its path.

In its YAML configuration::

    rewards:
      - name: edit_rrm
        reward_model: edit_rrm_client.adapters.flow_factory.EditRrmReward
        url: http://judge:8000
        device: cpu

It is groupwise: Flow-Factory brings all edits of a group together and hands them over at once. It knows no mask, so
what was not measured gets the mean of what was, in its group, which GRPO turns into no advantage
(`BatchResult.neutral`); a group of which nothing was measured stops the run.

This module imports Flow-Factory, whose base class decides how a reward model is called. Written against its
``rewards/abc.py`` of May 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flow_factory.rewards.abc import (  # type: ignore[import-not-found]  # it imports this, and no test installs it
    GroupwiseRewardModel,
    RewardModelOutput,
)

from edit_rrm.verdicts import Mode
from edit_rrm_client.adapters.batch import score_batch
from edit_rrm_client.client import RewardClient
from edit_rrm_client.failure_policy import FailureBudget
from edit_rrm_client.images import ImageInput

_SETTINGS = frozenset({"url", "api_key", "timeout", "expect_identity", "mode"})


class EditRrmReward(GroupwiseRewardModel):  # type: ignore[misc]  # flow_factory is not type-checked
    """Judges a group of edits; settings are ``url``, ``api_key``, ``timeout``, ``expect_identity`` and ``mode``."""

    required_fields = ("prompt", "image", "condition_images")
    use_tensor_inputs = False

    def __init__(self, config: Any, accelerator: Any) -> None:
        """Read the settings, which Flow-Factory keeps in ``config.extra_kwargs``.

        Raises:
            ValueError: There is no URL, or a setting that is none.
        """
        super().__init__(config, accelerator)
        settings = dict(config.extra_kwargs)
        if unknown := sorted(settings.keys() - _SETTINGS):
            raise ValueError(f"settings that this reward does not have: {', '.join(unknown)}")
        if not settings.get("url"):
            raise ValueError("no judge to ask: say url: http://host:port beside reward_model")
        self._mode = Mode(settings.pop("mode", "think"))
        self._client = RewardClient(**settings)
        self._budget = FailureBudget()

    def close(self) -> None:
        """Close the connections; Flow-Factory leaves them to the end of its process."""
        self._client.close()

    def __call__(
        self, prompt: Sequence[str], image: Sequence[ImageInput], condition_images: Sequence[Sequence[ImageInput]]
    ) -> Any:
        """Judge a group.

        Args:
            prompt: Instructions, length N.
            image: N edits.
            condition_images: One source for each.

        Returns:
            A `RewardModelOutput`: ``rewards`` from 0 to 1, shape (N,), and in ``extra_info`` the ``mask`` (which were
            measured) and ``outcomes``.

        Raises:
            ValueError: An edit has no source, or more than one.
            UnscoredError: Nothing was measured.
            FailureBudgetError: Too much failed lately.
        """
        if any(len(images) != 1 for images in condition_images):
            raise ValueError(f"an edit has one source, not {sorted({len(images) for images in condition_images})}")
        sources = [images[0] for images in condition_images]
        batch = score_batch(self._client, prompt, sources, image, mode=self._mode, budget=self._budget)
        outcomes = [one.outcome.value for one in batch.results]
        return RewardModelOutput(rewards=batch.neutral(), extra_info={"mask": batch.mask, "outcomes": outcomes})
