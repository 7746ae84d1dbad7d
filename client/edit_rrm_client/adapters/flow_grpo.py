"""Rewards as flow_grpo asks for them, and those who took its interface over: DiffusionNFT, Edit-R1.

They call ``fn(images, prompts, metadata)``, where images are (N, C, H, W) in 0 to 1 or (N, H, W, C) in 0 to 255, and
want one number an image; none of them knows a mask. So what was not measured gets the mean of its group, as far as it
is in the batch (`BatchResult.neutral`), and which ones were measured is among the rewards: ``edit_rrm_measured``.

flow_grpo spreads a group over its devices, so that a batch has only a part of it, and its mean is not the group's. Fill
it in again where the whole is known, after the rewards are gathered::

    gathered_rewards["avg"] = neutralised(gathered_rewards["avg"], gathered_rewards["edit_rrm_measured"], prompts)

with a prompt (better, a prompt and its source) for each. Then the advantage of what was not measured is 0.

In flow_grpo's ``scripts/train_flux_kontext.py``, in place of ``multi_score``::

    reward_fn = FlowGrpoReward(RewardClient("http://judge:8000", expect_identity="first"))

DiffusionNFT passes no references: have its data set put the source into the metadata. DanceGRPO has no such function,
but scores image by image while it samples: gather ``decoded_image[0]`` there, and score all of them after the loop::

    scores, _ = FlowGrpoScore(client)(decoded, caption, [{}] * len(decoded), sources)
    all_rewards = torch.from_numpy(scores).to(device)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edit_rrm.verdicts import Mode
from edit_rrm_client.adapters.batch import Scorer, neutralised, score_batch
from edit_rrm_client.failure_policy import FailureBudget
from edit_rrm_client.images import ImageInput, Tensor

SOURCE_KEYS = ("source", "source_image", "ref_image", "image")
"""Where metadata may have an edit's source, in this order."""

Info = dict[str, Any]

_BEYOND = 0.1
"""How far beyond 0 and 1 a VAE's floats are clamped."""


class FlowGrpoReward:
    """In place of ``multi_score``: called with the references, answers by name, ``avg`` being what is trained on."""

    def __init__(self, client: Scorer, *, mode: Mode = Mode.THINK, budget: FailureBudget | None = None) -> None:
        """Ask by these.

        Args:
            client: Asks the service; may be shared between threads, as flow_grpo does.
            mode: How principles are verified.
            budget: Stops the run where too much fails; the default budget where left out.
        """
        self._score = FlowGrpoScore(client, mode=mode, budget=budget)

    def __call__(
        self,
        images: Sequence[ImageInput] | Tensor | npt.NDArray[Any],
        prompts: Sequence[str],
        metadata: Sequence[Mapping[str, Any]],
        ref_images: Sequence[ImageInput] | None = None,
        only_strict: bool = True,
    ) -> tuple[dict[str, npt.NDArray[np.float32]], Info]:
        """Judge a batch.

        Args:
            images: N edits.
            prompts: Their instructions.
            metadata: Theirs; has the sources where `ref_images` has not.
            ref_images: Their sources.
            only_strict: Is flow_grpo's, for another reward.

        Returns:
            ``avg``, ``edit_rrm`` and ``edit_rrm_measured`` (1, or 0 where nothing was measured), each of shape (N,),
            and the info of `FlowGrpoScore`.
        """
        scores, info = self._score(images, prompts, metadata, ref_images)
        measured = np.asarray(info["mask"], np.float32)
        return {"edit_rrm": scores, "edit_rrm_measured": measured, "avg": scores.copy()}, info


class FlowGrpoScore:
    """One of several rewards: to be named in ``multi_score``'s table, or where a trainer wants ``(scores, info)``."""

    def __init__(self, client: Scorer, *, mode: Mode = Mode.THINK, budget: FailureBudget | None = None) -> None:
        """As `FlowGrpoReward`."""
        self._client = client
        self._mode = mode
        self._budget = budget or FailureBudget()

    def __call__(
        self,
        images: Sequence[ImageInput] | Tensor | npt.NDArray[Any],
        prompts: Sequence[str],
        metadata: Sequence[Mapping[str, Any]],
        ref_images: Sequence[ImageInput] | None = None,
    ) -> tuple[npt.NDArray[np.float32], Info]:
        """Judge a batch; arguments as `FlowGrpoReward`'s.

        Returns:
            Finite rewards, shape (N,); and ``mask`` (N,), which of them were measured, ``outcomes``, and ``results``
            with verdicts and reasoning.

        Raises:
            KeyError: There are no sources in the metadata.
            UnscoredError: Nothing was measured.
            FailureBudgetError: Too much failed in the last steps.
        """
        sources = [source_of(one) for one in metadata] if ref_images is None else list(ref_images)
        edited = [clamped(image) for image in images]
        batch = score_batch(self._client, prompts, sources, edited, mode=self._mode, budget=self._budget)
        outcomes = [one.outcome.value for one in batch.results]
        return batch.neutral(), {"mask": batch.mask, "outcomes": outcomes, "results": batch.results}


def source_of(metadata: Mapping[str, Any]) -> ImageInput:
    """The source image in an edit's metadata.

    Raises:
        KeyError: There is none; the message says where it was looked for.
    """
    for key in SOURCE_KEYS:
        if metadata.get(key) is not None:
            source: ImageInput = metadata[key]
            return source
    raise KeyError(f"no source image in the metadata {sorted(metadata)}: put it under {SOURCE_KEYS[0]!r}")


def clamped(image: ImageInput) -> ImageInput:
    """An image whose floats are within 0 and 1, where they were a little beyond, as a VAE decodes them.

    Floats that are far beyond are another range's (-1 to 1, 0 to 255): they stay as they are, and are refused where
    the image is encoded.
    """
    array: Any = image
    if "float" not in str(getattr(array, "dtype", "")) or not hasattr(array, "clip"):
        return image
    low, high = float(array.min()), float(array.max())
    if low < -_BEYOND or high > 1.0 + _BEYOND:
        return image
    within: ImageInput = array.clip(0.0, 1.0)
    return within


__all__ = ["SOURCE_KEYS", "FlowGrpoReward", "FlowGrpoScore", "clamped", "neutralised", "source_of"]
